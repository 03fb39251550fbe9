// What was pushed five minutes ago is as good as unknown, another manifest or repository is not known, and the
// memory is bounded. A client that pushed asks for the manifest alone; one that finds something else there
// asks for what that does not name; and what is all missing and small is sent unasked.
#include "registry/push_memory.h"

#include <gtest/gtest.h>

#include "registry/scripted_transport.h"

namespace kiln::registry {
namespace {

Digest digest_of(int number) { return Digest::of(std::to_string(number)); }

TEST(PushMemory, ForgetsAfterMinutesAndKnowsRepositoriesApart) {
  ManualClock clock(Time(std::chrono::hours(500000)));
  PushMemory memory(clock);
  EXPECT_FALSE(memory.knows("r/a"));
  memory.remember("r/a", {digest_of(1), {digest_of(2)}, clock.now()});
  EXPECT_TRUE(memory.knows("r/a"));
  EXPECT_FALSE(memory.knows("r/b"));
  EXPECT_EQ(memory.find("r/a", digest_of(1)).blobs, std::set<Digest>{digest_of(2)});
  EXPECT_TRUE(memory.find("r/a", digest_of(3)).manifest.empty());
  EXPECT_TRUE(memory.find("r/b", digest_of(1)).manifest.empty());
  clock.advance(std::chrono::minutes(4));
  EXPECT_TRUE(memory.knows("r/a"));
  // A clock that was set back proves nothing.
  clock.advance(-std::chrono::hours(2));
  EXPECT_FALSE(memory.knows("r/a"));
  clock.advance(std::chrono::hours(2) + std::chrono::minutes(2));
  EXPECT_FALSE(memory.knows("r/a"));
  EXPECT_TRUE(memory.find("r/a", digest_of(1)).manifest.empty());
}

TEST(PushMemory, HoldsNoMoreThanItMay) {
  ManualClock clock(Time(std::chrono::hours(500000)));
  PushMemory memory(clock);
  for (int push = 0; push < 5; ++push) {
    std::set<Digest> blobs;
    for (int i = 0; i < 3000; ++i) blobs.insert(digest_of(push * 10'000 + i));
    memory.remember("r/a", {digest_of(-push - 1), blobs, clock.now()});
  }
  EXPECT_TRUE(memory.find("r/a", digest_of(-1)).manifest.empty());
  EXPECT_TRUE(memory.find("r/a", digest_of(-2)).manifest.empty());
  EXPECT_FALSE(memory.find("r/a", digest_of(-3)).manifest.empty());
  EXPECT_FALSE(memory.find("r/a", digest_of(-5)).manifest.empty());
}

TEST(PushMemory, ForgetsPushesWhoseBlobsGotLost) {
  ManualClock clock(Time(std::chrono::hours(500000)));
  PushMemory memory(clock);
  memory.remember("r/a", {digest_of(1), {digest_of(2), digest_of(3)}, clock.now()});
  memory.remember("r/b", {digest_of(1), {digest_of(2)}, clock.now()});
  memory.forget("r/a", digest_of(9));
  EXPECT_TRUE(memory.knows("r/a"));
  memory.forget("r/a", digest_of(3));
  EXPECT_FALSE(memory.knows("r/a"));
  EXPECT_TRUE(memory.knows("r/b"));
  memory.forget("r/b");
  EXPECT_FALSE(memory.knows("r/b"));
}

class Push : public testing::Test {
 protected:
  Push() : registry_(http_, {.concurrency = 4, .backoff = {}}) {}

  ScriptedAnswer answer(const Request& request) {
    if (request.method == "HEAD" && request.url.find("/manifests/") != std::string::npos) {
      if (standing_.empty()) return {.status = 404};
      return {.status = 200, .headers = {{"Docker-Content-Digest", standing_.str()}}};
    }
    if (request.method == "HEAD") return {.status = there_ ? 200 : 404};
    if (request.method == "POST") return {.status = 202, .headers = {{"Location", "/up/1"}}};
    return {.status = 201};
  }
  Result<Pushed> push(std::int64_t size, PushSeries& series) {
    std::string bytes(static_cast<std::size_t>(size), 'x');
    BlobOpener open = [&](std::uint64_t) -> Result<std::unique_ptr<ByteSource>> {
      return std::make_unique<StringSource>(bytes);
    };
    content::Descriptor blob{.media_type = std::string(content::kOciLayer), .digest = Digest::of(bytes), .size = size};
    return registry_.push_blob(ref_, blob, open, {}, {}, {}, &series);
  }
  int asked(std::string_view method) const {
    int count = 0;
    for (const std::string& line : http_.lines()) count += line.starts_with(method);
    return count;
  }

  Digest standing_;
  bool there_ = false;
  ScriptedTransport http_{[this](const Request& request) { return answer(request); }};
  Registry registry_;
  const Reference ref_ = *Reference::parse("example.com/app:v1");
};

TEST_F(Push, AsksWhatStandsOnlyWhereSomethingWasPushed) {
  EXPECT_TRUE(registry_.standing(ref_, {}).manifest.empty());
  EXPECT_TRUE(http_.lines().empty());
  registry_.remember_push(ref_, {}, {digest_of(1), {digest_of(2)}, system_clock().now()});
  EXPECT_TRUE(registry_.standing(ref_, {}).manifest.empty());  // it is gone
  standing_ = digest_of(9);
  EXPECT_TRUE(registry_.standing(ref_, {}).manifest.empty());  // somebody else's
  standing_ = digest_of(1);
  EXPECT_EQ(registry_.standing(ref_, {}).blobs, std::set<Digest>{digest_of(2)});
  EXPECT_TRUE(registry_.standing(*Reference::parse("example.com/other:v1"), {}).manifest.empty());
  EXPECT_EQ(http_.lines(), std::vector<std::string>(3, "HEAD https://example.com/v2/app/manifests/v1"));
  // A blob that is gone although the manifest stands.
  EXPECT_FALSE(*registry_.stat_blob(ref_, digest_of(2), {}));
  EXPECT_TRUE(registry_.standing(ref_, {}).manifest.empty());
}

TEST_F(Push, SendsSmallBlobsUnaskedOnceSeveralWereMissing) {
  PushSeries series;
  for (int i = 1; i <= 10; ++i) EXPECT_EQ(*push(i, series), Pushed::kUploaded);
  EXPECT_EQ(asked("HEAD"), 4);
  EXPECT_EQ(asked("PUT"), 10);
  EXPECT_EQ(*push(1 << 20, series), Pushed::kUploaded);  // a large one is worth the question
  EXPECT_EQ(asked("HEAD"), 5);
  there_ = true;
  EXPECT_EQ(*push((1 << 20) + 1, series), Pushed::kExisted);
  EXPECT_EQ(*push(11, series), Pushed::kExisted);  // one was there: they are asked for again
  EXPECT_EQ(asked("HEAD"), 7);
  PushSeries another;
  EXPECT_EQ(*push(12, another), Pushed::kExisted);
}

}  // namespace
}  // namespace kiln::registry
