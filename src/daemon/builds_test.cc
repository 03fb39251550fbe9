// The registry of builds with a scripted runner: names, cancellation, records.
#include "daemon/builds.h"

#include <gtest/gtest.h>

#include <future>

#include "daemon/gateway.h"
#include "history/history.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

class Script final : public BuildRunner {
 public:
  std::function<Result<SolveResponse>(RunningBuild&, std::stop_token)> act;
  Result<SolveResponse> run(RunningBuild& build, std::stop_token stop) override { return act(build, stop); }
};

class BuildsTest : public testing::Test {
 protected:
  BuildsTest() {
    directory_ = host::TempDir::make("builds-test").value();
    history_ = history::History::open({.root = directory_.path()}).value();
    builds_ = std::make_unique<Builds>(BuildsOptions{.runner = &script_, .history = history_.get(), .pool = &pool_});
  }
  std::future<Result<SolveResponse>> solve(SolveRequest request, std::stop_token stop = {}) {
    auto promise = std::make_shared<std::promise<Result<SolveResponse>>>();
    auto future = promise->get_future();
    builds_->solve(std::move(request), stop, [promise](Result<SolveResponse> r) { promise->set_value(std::move(r)); });
    return future;
  }

  host::TempDir directory_;
  Pool pool_;
  Script script_;
  std::unique_ptr<history::History> history_;
  std::unique_ptr<Builds> builds_;
};

TEST_F(BuildsTest, ABuildLeavesARecordWithItsStepsAnswerAndLog) {
  script_.act = [](RunningBuild& build, std::stop_token) -> Result<SolveResponse> {
    event::Vertex vertex{.digest = Digest::of("x"), .name = "x"};
    vertex.completed = Time(std::chrono::seconds(1));
    build.events().on(vertex);
    build.add_result(0, {"m", "sha256:aa", 1, {}});
    return SolveResponse{{{"k", "v"}}};
  };
  EXPECT_EQ(solve({.ref = "r", .frontend = "f"}).get()->exporter_response.at("k"), "v");
  const history::Record record = history_->find("r").value().value();
  EXPECT_EQ(record.frontend, "f");
  EXPECT_EQ(record.completed_steps, 1);
  EXPECT_EQ(record.exporter_response.at("k"), "v");
  EXPECT_EQ(record.result->results.at(0).digest, "sha256:aa");
  EXPECT_GT(record.logs->size, 0);
  EXPECT_EQ(builds_->find("r"), nullptr);
}

TEST_F(BuildsTest, AFailureIsRecordedAndAnInternalBuildIsNot) {
  script_.act = [](RunningBuild&, std::stop_token) -> Result<SolveResponse> {
    return user_error(Code::kUnknown, "boom");
  };
  EXPECT_FALSE(solve({.ref = "bad"}).get().ok());
  EXPECT_FALSE(solve({.ref = "internal", .internal = true}).get().ok());
  const history::Record record = history_->find("bad").value().value();
  EXPECT_EQ(record.error->message, "boom");
  EXPECT_TRUE(record.external_error.has_value());
  EXPECT_FALSE(history_->find("internal").value().has_value());
}

// A client that asks for the status of a build that failed at once must not wait for it to begin.
TEST_F(BuildsTest, NobodyWaitsForABuildThatCameAndWent) {
  script_.act = [](RunningBuild&, std::stop_token) -> Result<SolveResponse> {
    return user_error(Code::kUnknown, "boom");
  };
  EXPECT_FALSE(solve({.ref = "short"}).get().ok());
  EXPECT_EQ(builds_->wait("short", {}, std::chrono::hours(1)), nullptr);
}

TEST_F(BuildsTest, TheStatusOfABuildThatHasJustEndedIsStillThere) {
  script_.act = [](RunningBuild&, std::stop_token) -> Result<SolveResponse> { return SolveResponse{}; };
  EXPECT_EQ(builds_->status_log("internal"), nullptr);
  ASSERT_TRUE(solve({.ref = "internal", .internal = true}).get().ok());
  EXPECT_EQ(builds_->find("internal"), nullptr);
  auto log = builds_->wait_for_status_log("internal", {}, std::chrono::seconds(5));
  ASSERT_NE(log, nullptr);
  EXPECT_TRUE(log->closed());
}

TEST_F(BuildsTest, OneNameRunsOnceAtATimeAndStopsWithItsCaller) {
  std::promise<void> running;
  script_.act = [&](RunningBuild&, std::stop_token stop) -> Result<SolveResponse> {
    running.set_value();
    (void)wait_for(stop, std::chrono::seconds(30));
    return cancelled();
  };
  std::stop_source stop;
  auto first = solve({.ref = "r"}, stop.get_token());
  running.get_future().wait();
  EXPECT_NE(builds_->wait("r", {}, std::chrono::seconds(1)), nullptr);
  EXPECT_EQ(solve({.ref = "r"}).get().status().code(), Code::kAlreadyExists);
  stop.request_stop();
  EXPECT_TRUE(is_cancelled(first.get().status()));
}

TEST_F(BuildsTest, ADrainingDaemonLetsBuildsEndAndTakesNoMore) {
  std::promise<void> running, go;
  script_.act = [&](RunningBuild&, std::stop_token) -> Result<SolveResponse> {
    running.set_value();
    go.get_future().wait();
    return SolveResponse{};
  };
  auto first = solve({.ref = "r"});
  running.get_future().wait();
  builds_->drain();
  EXPECT_EQ(solve({.ref = "s"}).get().status().code(), Code::kUnavailable);
  go.set_value();
  builds_->wait_idle();
  EXPECT_TRUE(first.get().ok());
}

TEST_F(BuildsTest, AGatewayIsFoundOnceItIsServedAndNotAfterTheEnd) {
  std::promise<void> finish;
  script_.act = [&](RunningBuild& build, std::stop_token) -> Result<SolveResponse> {
    class NoBridge final : public frontend::Bridge {
     public:
      const frontend::BuildOptions& options() const override { return options_; }
      Result<std::map<std::string, graph::Definition>> inputs(std::stop_token) override { return cancelled(); }
      Result<frontend::SolveResult> solve(const frontend::SolveRequest&, std::stop_token) override {
        return cancelled();
      }
      Result<frontend::ImageConfig> resolve_image_config(const std::string&, const frontend::ResolveOptions&,
                                                         std::stop_token) override {
        return cancelled();
      }
      Result<frontend::SourceMeta> resolve_source(const graph::SourceOp&, const std::optional<Platform>&,
                                                  const frontend::ResolveOptions&, std::stop_token) override {
        return cancelled();
      }
      Status warn(const frontend::Warning&) override { return ok(); }
      frontend::BuildOptions options_;
    } bridge;
    auto gateway = std::make_shared<Gateway>(bridge);
    build.serve(gateway);
    auto result = gateway->wait({});
    build.serve(nullptr);
    gateway->close();
    EXPECT_FALSE(gateway->enter());
    if (!result.ok()) return result.status();
    return SolveResponse{};
  };
  auto done = solve({.ref = "r"});
  auto build = builds_->wait("r", {}, std::chrono::seconds(5));
  ASSERT_NE(build, nullptr);
  auto gateway = build->wait_for_gateway({}, std::chrono::seconds(5));
  ASSERT_NE(gateway, nullptr);
  EXPECT_FALSE(gateway->ref("unknown").ok());
  EXPECT_TRUE(gateway->finish(frontend::SolveResult{}).ok());
  EXPECT_FALSE(gateway->finish(frontend::SolveResult{}).ok());
  EXPECT_TRUE(done.get().ok());
  EXPECT_EQ(build->wait_for_gateway({}, std::chrono::seconds(5)), nullptr);
}

}  // namespace
}  // namespace kiln::daemon
