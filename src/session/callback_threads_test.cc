// Proves that a channel whose last user is a callback does not take the callback threads with it. Each call below owns
// its channel alone and drops it from the callback that ends it; without hold_callback_threads() the process ends
// within a few of them.
#include "session/callback_threads.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "wire/health.grpc.pb.h"

namespace kiln::session {
namespace {

// Counts calls that ended.
struct Ended {
  std::mutex mutex;
  std::condition_variable changed;
  int count = 0;

  void note() {
    std::lock_guard lock(mutex);
    ++count;
    changed.notify_all();
  }
  bool await(int wanted) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(60), [&] { return count >= wanted; });
  }
};

struct LonelyCall {
  grpc::ClientContext context;  // holds the channel
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
};

// Fails at once, since nobody listens there.
void start_call(Ended& ended) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel = grpc::CreateCustomChannel("unix:/nowhere/kiln", grpc::InsecureChannelCredentials(), arguments);
  auto* call = new LonelyCall;
  auto stub = grpc::health::v1::Health::NewStub(channel);
  stub->async()->Check(&call->context, &call->request, &call->response, [call, &ended](grpc::Status status) {
    EXPECT_FALSE(status.ok());
    delete call;
    ended.note();
  });
}

TEST(CallbackThreads, OutliveChannelsThatEndInCallbacks) {
  hold_callback_threads();
  Ended ended;
  constexpr int kThreads = 4, kCalls = 100;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < kThreads; ++i) {
      callers.emplace_back([&] {
        for (int j = 0; j < kCalls; ++j) {
          start_call(ended);
          std::this_thread::sleep_for(std::chrono::microseconds(j % 7 * 100));
        }
      });
    }
  }
  ASSERT_TRUE(ended.await(kThreads * kCalls));
  // And they still answer.
  start_call(ended);
  EXPECT_TRUE(ended.await(kThreads * kCalls + 1));
}

}  // namespace
}  // namespace kiln::session
