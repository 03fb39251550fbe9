// Calls through two connections on sockets, one passed on to the other: nothing is lost or changed, ends
// and slowness are passed on, too.
#include "http2/relay.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <future>

#include "http2/served_call.h"
#include "http2/socket_carrier.h"

namespace kiln::http2 {
namespace {

using namespace std::chrono_literals;

// client - socket - relay - socket - server
class Chain {
 public:
  explicit Chain(std::function<void(std::shared_ptr<ServedCall>)> answer) {
    server = Connection::server([this, answer](std::shared_ptr<Stream> stream) {
      auto call = std::make_shared<ServedCall>(std::move(stream));
      std::lock_guard lock(mutex_);
      threads_.emplace_back([answer, call = std::move(call)] { answer(call); });
    });
    behind = Connection::client();
    join(behind, server);
    front = Connection::server([behind = behind](std::shared_ptr<Stream> stream) {
      const Fields fields = *stream->begin_fields();
      relay(std::move(stream), behind->open(fields));
    });
    client = Connection::client();
    join(client, front);
  }
  ~Chain() {
    for (auto& one : {client, front, behind, server}) one->end(ok());
    std::vector<std::jthread> threads;
    std::lock_guard lock(mutex_);
    threads.swap(threads_);
  }

  std::shared_ptr<Connection> client, front, behind, server;

 private:
  void join(const std::shared_ptr<Connection>& one, const std::shared_ptr<Connection>& other) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    ASSERT_TRUE(SocketCarrier::start(poller_, host::Fd(ends[0]), one).ok());
    ASSERT_TRUE(SocketCarrier::start(poller_, host::Fd(ends[1]), other).ok());
  }
  std::shared_ptr<host::Poller> poller_ = std::make_shared<host::Poller>();
  std::mutex mutex_;
  std::vector<std::jthread> threads_;
};

TEST(Relay, PassesCallsOnUnchanged) {
  Chain chain([](const std::shared_ptr<ServedCall>& call) {
    Pieces message;
    while (call->read(message)) call->write({}, owned(flat(message) + "!"), Flush::kNow);
    call->finish(
        {call->method() == "/s/fails" ? 9 : 0, std::string(field_of(call->metadata(), "key").value_or("")), "d"});
  });
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (std::size_t size : {0, 10, 100'000, 3'000'000}) {
        const std::string question(size, static_cast<char>('a' + i));
        std::string answer;
        Outcome outcome =
            Call(*chain.client, i % 2 ? "/s/fails" : "/s/works", {{{"key", "value"}}, {}}).ask(question, answer);
        EXPECT_EQ(outcome.code, i % 2 ? 9 : 0);
        EXPECT_EQ(outcome.message, "value");
        EXPECT_EQ(outcome.details, "d");
        EXPECT_TRUE(answer == question + "!");
      }
    });
  }
}

TEST(Relay, PassesOnAnAnswerThatIsOnlyItsEnd) {
  Chain chain([](const std::shared_ptr<ServedCall>&) {});
  auto server = Connection::server([](const std::shared_ptr<Stream>& stream) {
    stream->respond_and_end({{":status", "200"}, {"grpc-status", "12"}, {"grpc-message", "never heard of it"}});
  });
  chain.server->end(ok());
  chain.front->end(ok());
  auto poller = std::make_shared<host::Poller>();
  auto client = Connection::client(), behind = Connection::client();
  auto front = Connection::server([&](std::shared_ptr<Stream> stream) {
    const Fields fields = *stream->begin_fields();
    relay(std::move(stream), behind->open(fields));
  });
  for (auto& [one, other] : {std::pair(client, front), std::pair(behind, server)}) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    ASSERT_TRUE(SocketCarrier::start(poller, host::Fd(ends[0]), one).ok());
    ASSERT_TRUE(SocketCarrier::start(poller, host::Fd(ends[1]), other).ok());
  }
  auto stream = client->open(request_fields("/s/m", {}, {}));
  ASSERT_TRUE(stream->wait_begin(Ticks::now() + 5s));
  EXPECT_TRUE(stream->ended_at_once());
  EXPECT_EQ(outcome_of(*stream).code, 12);
  for (auto& one : {client, front, behind, server}) one->end(ok());
}

TEST(Relay, ACancelledCallIsCancelledBehind) {
  std::promise<bool> complete;
  Chain chain([&](const std::shared_ptr<ServedCall>& call) {
    Pieces message;
    while (call->read(message)) {
    }
    complete.set_value(call->complete());
  });
  {
    Call call(*chain.client, "/s/m", {});
    call.write("x", {}, Flush::kNow);
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_FALSE(complete.get_future().get());
}

TEST(Relay, ACallerThatLeavesAfterItsQuestionCancelsTheCallBehind) {
  for (bool whole_connection : {false, true}) {
    std::promise<bool> ended;
    Chain chain([&](const std::shared_ptr<ServedCall>& call) {
      Pieces message;
      while (call->read(message)) {
      }
      EXPECT_TRUE(call->complete());
      for (int i = 0; i < 500 && !call->stream()->closed(); ++i) std::this_thread::sleep_for(10ms);
      ended.set_value(call->stream()->closed());
    });
    Call call(*chain.client, "/s/m", {});
    call.write("x", {}, Flush::kNow);
    call.writes_done();
    std::this_thread::sleep_for(20ms);
    if (whole_connection) {
      chain.client->end(ok());
    } else {
      call.cancel();
    }
    EXPECT_TRUE(ended.get_future().get());
  }
}

TEST(Relay, TheEndOfEitherConnectionEndsTheCall) {
  for (int which = 0; which < 3; ++which) {
    Chain chain([&](const std::shared_ptr<ServedCall>& call) {
      Pieces message;
      while (call->read(message)) {
      }
    });
    Call call(*chain.client, "/s/m", {});
    call.write("x", {}, Flush::kNow);
    std::this_thread::sleep_for(10ms);
    (which == 0 ? chain.front : which == 1 ? chain.behind : chain.server)->end(ok());
    Pieces message;
    EXPECT_FALSE(call.read(message));
    EXPECT_EQ(call.finish().code, static_cast<int>(Code::kUnavailable)) << which;
  }
}

TEST(Relay, ASlowReaderHoldsBackTheWriterBehindIt) {
  Chain chain([&](const std::shared_ptr<ServedCall>& call) {
    const Bytes piece = owned(std::string(100'000, 'x'));
    for (int i = 0; i < 1000; ++i) {
      if (!call->write({}, piece, Flush::kNow)) break;
    }
    call->finish({});
  });
  Call call(*chain.client, "/s/m", {});
  Pieces message;
  ASSERT_TRUE(call.read(message));
  std::this_thread::sleep_for(100ms);
  int messages = 1;
  while (call.read(message)) {
    ASSERT_EQ(size_of(message), 100'000u);
    ++messages;
  }
  EXPECT_EQ(messages, 1000);
  EXPECT_EQ(call.finish().code, 0);
}

}  // namespace
}  // namespace kiln::http2
