// Solve and Status as a client of the daemon's socket sees them: through a real socket and our own HTTP/2,
// with a scripted runner behind. What is passed on to gRPC's library is seen at the other end of its socket.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>

#include "daemon/front.h"
#include "history/history.h"
#include "host/fs.h"
#include "http2/call.h"
#include "http2/socket_carrier.h"
#include "wire/control.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1;

constexpr const char* kSolve = "/moby.buildkit.v1.Control/Solve";
constexpr const char* kStatus = "/moby.buildkit.v1.Control/Status";

class Script final : public BuildRunner {
 public:
  std::function<Result<SolveResponse>(RunningBuild&, std::stop_token)> act;
  Result<SolveResponse> run(RunningBuild& build, std::stop_token stop) override { return act(build, stop); }
};

class FrontCallsTest : public testing::Test {
 protected:
  FrontCallsTest() {
    ground_.pool = &pool_;
    ground_.builds = &builds_;
    ground_.history = history_.get();
    ground_.sessions = &sessions_;
    ground_.after_build = [this] { ++after_builds_; };
    front_ = std::make_unique<Front>(ground_, [this](host::Fd socket) {
      passed_on_ = std::move(socket);
      passing_on_.set_value();
    });
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    front_->take(host::Fd(ends[0]));
    client_ = http2::Connection::client();
    EXPECT_TRUE(http2::SocketCarrier::start(poller_, host::Fd(ends[1]), client_).ok());
    script_.act = [](RunningBuild& build, std::stop_token) -> Result<SolveResponse> {
      event::Vertex vertex{.digest = Digest::of("x"), .name = "x"};
      build.events().on(vertex);
      return SolveResponse{{{"key", build.request().trace_parent}}};
    };
  }
  ~FrontCallsTest() override { client_->end(ok()); }

  http2::Outcome solve(const std::string& ref, api::SolveResponse& response, const http2::Fields& metadata = {}) {
    api::SolveRequest request;
    request.set_ref(ref);
    std::string bytes;
    http2::Outcome outcome = http2::Call(*client_, kSolve, {metadata, {}}).ask(request.SerializeAsString(), bytes);
    EXPECT_TRUE(response.ParseFromString(bytes));
    return outcome;
  }

  // All that the status says.
  http2::Outcome status(const std::string& ref, api::StatusResponse& all) {
    http2::Call call(*client_, kStatus, {});
    api::StatusRequest request;
    request.set_ref(ref);
    call.write(request.SerializeAsString(), {}, http2::Flush::kLater);
    call.writes_done();
    http2::Pieces message;
    while (call.read(message)) {
      api::StatusResponse part;
      EXPECT_TRUE(part.ParseFromString(http2::flat(message)));
      all.MergeFrom(part);
    }
    return call.finish();
  }

  host::TempDir directory_ = host::TempDir::make("front-calls-test").value();
  Pool pool_;
  Script script_;
  session::Sessions sessions_;
  std::unique_ptr<history::History> history_ = history::History::open({.root = directory_.path()}).value();
  Builds builds_{{.runner = &script_, .history = history_.get(), .pool = &pool_}};
  ServiceGround ground_;
  std::atomic<int> after_builds_{0};
  host::Fd passed_on_;
  std::promise<void> passing_on_;
  std::shared_ptr<host::Poller> poller_ = std::make_shared<host::Poller>();
  std::unique_ptr<Front> front_;
  std::shared_ptr<http2::Connection> client_;
};

TEST_F(FrontCallsTest, ABuildIsAnsweredAndToldOfToWhoAsksBeforeAndAfterIt) {
  api::StatusResponse told;
  auto early = std::async(std::launch::async, [&] { return status("r", told); });
  api::SolveResponse response;
  EXPECT_EQ(solve("r", response, {{"traceparent", "00-a-b-01"}}).code, 0);
  EXPECT_EQ(response.exporterresponse().at("key"), "00-a-b-01");
  EXPECT_EQ(early.get().code, 0);
  ASSERT_EQ(told.vertexes_size(), 1);
  EXPECT_EQ(told.vertexes(0).name(), "x");
  api::StatusResponse again;
  EXPECT_EQ(status("r", again).code, 0);
  EXPECT_EQ(again.vertexes_size(), 1);
  builds_.wait_idle();
  EXPECT_EQ(after_builds_, 1);
}

TEST_F(FrontCallsTest, AFailureCarriesItsWordsAndItsDetails) {
  script_.act = [](RunningBuild&, std::stop_token) -> Result<SolveResponse> {
    Status status = user_error(Code::kNotFound, "no such\nthing");
    set_detail(status, "example.com/some.Type", "bytes");
    return status;
  };
  api::SolveResponse response;
  const http2::Outcome outcome = solve("r", response);
  EXPECT_EQ(outcome.code, static_cast<int>(Code::kUnknown));  // as BuildKit tells a failed build
  EXPECT_EQ(outcome.message, "no such\nthing");
  EXPECT_NE(outcome.details.find("example.com/some.Type"), std::string::npos);
  std::string answer;
  EXPECT_EQ(http2::Call(*client_, kSolve, {}).ask("\xff\xff", answer).code, static_cast<int>(Code::kInvalidArgument));
}

TEST_F(FrontCallsTest, AClientThatLeavesStopsItsBuild) {
  std::promise<void> running, stopped;
  script_.act = [&](RunningBuild&, std::stop_token stop) -> Result<SolveResponse> {
    running.set_value();
    std::stop_callback told(stop, [&] { stopped.set_value(); });
    stopped.get_future().wait();
    return cancelled();
  };
  api::SolveRequest request;
  request.set_ref("r");
  {
    http2::Call call(*client_, kSolve, {});
    call.write(request.SerializeAsString(), {}, http2::Flush::kLater);
    call.writes_done();
    running.get_future().wait();
  }
  builds_.wait_idle();
}

// The log is longer than what may wait for a slow reader.
TEST_F(FrontCallsTest, ASlowReaderOfTheStatusGetsAllOfIt) {
  constexpr int kPieces = 400;
  std::promise<void> read;
  script_.act = [&](RunningBuild& build, std::stop_token) -> Result<SolveResponse> {
    for (int i = 0; i < kPieces; ++i) {
      build.events().on(
          event::VertexLog{Digest::of(std::to_string(i)), event::LogStream::kStdout, Time{}, std::string(60'000, 'x')});
    }
    read.get_future().wait();
    return SolveResponse{};
  };
  api::SolveResponse response;
  auto solving = std::async(std::launch::async, [&] { return solve("r", response); });
  while (!builds_.find("r")) std::this_thread::yield();
  http2::Call call(*client_, kStatus, {});
  api::StatusRequest request;
  request.set_ref("r");
  call.write(request.SerializeAsString(), {}, http2::Flush::kNow);
  call.writes_done();
  http2::Pieces message;
  int pieces = 0;
  while (pieces < kPieces && call.read(message)) {
    api::StatusResponse part;
    ASSERT_TRUE(part.ParseFromString(http2::flat(message)));
    pieces += part.logs_size();
  }
  EXPECT_EQ(pieces, kPieces);
  read.set_value();
  EXPECT_EQ(call.finish().code, 0);
  EXPECT_EQ(solving.get().code, 0);
}

TEST_F(FrontCallsTest, WhatIsNoPlainCallOfABuildIsPassedOn) {
  http2::Call packed(*client_, kSolve, {{{"grpc-encoding", "gzip"}}, {}});
  packed.write("", {}, http2::Flush::kNow);
  passing_on_.get_future().wait();
  EXPECT_TRUE(passed_on_.valid());
}

}  // namespace
}  // namespace kiln::daemon
