// Everything that was added is sent, a few at a time, while more is added; a failure ends it and is told.
#include "remotecache/sending.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <set>

namespace kiln::remotecache {
namespace {

store::LayerBlob layer_of(int number) {
  store::LayerBlob layer;
  layer.blob.size = number;
  return layer;
}

TEST(Sending, SendsEachOnceAndNotTooManyAtOnce) {
  for (bool with_pool : {true, false}) {
    Pool pool;
    std::mutex mutex;
    std::set<std::int64_t> sent;
    int running = 0, running_max = 0;
    Sending sending(with_pool ? &pool : nullptr, 3, [&](const store::LayerBlob& layer) {
      {
        std::lock_guard lock(mutex);
        EXPECT_TRUE(sent.insert(layer.blob.size).second);
        running_max = std::max(running_max, ++running);
      }
      std::lock_guard lock(mutex);
      --running;
      return ok();
    });
    for (int i = 0; i < 200; ++i) sending.add(layer_of(i));
    EXPECT_TRUE(sending.finish().ok());
    EXPECT_EQ(sent.size(), 200u);
    EXPECT_LE(running_max, 4);  // finish() lends a hand
  }
}

TEST(Sending, BeginsBeforeTheLastIsKnown) {
  Pool pool;
  std::latch first(1);
  Sending sending(&pool, 2, [&](const store::LayerBlob&) {
    first.count_down();
    return ok();
  });
  sending.add(layer_of(1));
  first.wait();
  EXPECT_TRUE(sending.finish().ok());
}

TEST(Sending, TellsTheFirstFailureAndSendsNoMore) {
  Pool pool;
  std::atomic<int> sent = 0;
  Sending sending(&pool, 1, [&](const store::LayerBlob&) {
    ++sent;
    return peer_error(Code::kUnavailable, "the line is down");
  });
  for (int i = 0; i < 1000; ++i) sending.add(layer_of(i));
  EXPECT_EQ(message_of(sending.finish()), "the line is down");
  EXPECT_LE(sent.load(), 3);
  sending.add(layer_of(7));
  EXPECT_FALSE(sending.finish().ok());
}

TEST(Sending, AbandonedItWaitsForWhatIsUnderWay) {
  Pool pool;
  std::latch begun(1), go_on(1);
  bool ended = false;
  {
    Sending sending(&pool, 1, [&](const store::LayerBlob&) {
      begun.count_down();
      go_on.wait();
      ended = true;
      return ok();
    });
    sending.add(layer_of(1));
    begun.wait();
    go_on.count_down();
  }
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace kiln::remotecache
