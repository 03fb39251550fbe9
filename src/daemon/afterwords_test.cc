// What a record gets after the answer: its trace and the reasons of its misses; and that spans come
// from clients and go to a collector.
#include "daemon/afterwords.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "daemon/otlp_messages.h"
#include "host/fs.h"
#include "wire/otlp_trace_service.pb.h"

namespace kiln::daemon {
namespace {

using testing::HasSubstr;

class Script final : public BuildRunner {
 public:
  std::function<Result<SolveResponse>(RunningBuild&, std::stop_token)> act;
  Result<SolveResponse> run(RunningBuild& build, std::stop_token stop) override { return act(build, stop); }
};

class Collector final : public SpanExporter {
 public:
  void send(const std::vector<observe::Span>& spans) override {
    std::lock_guard lock(mutex);
    all.insert(all.end(), spans.begin(), spans.end());
  }
  std::mutex mutex;
  std::vector<observe::Span> all;
};

class AfterwordsTest : public testing::Test {
 protected:
  AfterwordsTest() {
    history_ = history::History::open({.root = directory_.path()}).value();
    script_.act = [](RunningBuild& build, std::stop_token) -> Result<SolveResponse> {
      event::CacheMiss miss;
      miss.vertex = Digest::of("step");
      miss.name = "[2/2] RUN make";
      miss.key = build.request().frontend;
      miss.parts = {{"env V", build.request().frontend}};
      build.misses().on(miss);
      return SolveResponse{};
    };
  }
  void open(Duration patience) {
    afterwords_ = std::make_unique<Afterwords>(AfterwordsOptions{.history = history_.get(),
                                                                 .book = &book_,
                                                                 .metrics = &metrics_,
                                                                 .exporter = &collector_,
                                                                 .trace_patience = patience});
    builds_ = std::make_unique<Builds>(BuildsOptions{.runner = &script_,
                                                     .history = history_.get(),
                                                     .afterwords = afterwords_.get(),
                                                     .metrics = &metrics_,
                                                     .pool = &pool_});
  }
  void build(const std::string& ref, const std::string& version, bool explain = false) {
    std::promise<void> done;
    SolveRequest request{.ref = ref, .frontend = version};
    request.explain = explain;
    request.trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    builds_->solve(std::move(request), {}, [&](Result<SolveResponse>) { done.set_value(); });
    done.get_future().wait();
  }
  std::string blob(const std::string& digest) {
    return content::read_blob(history_->blobs(), Digest::parse(digest).value()).value();
  }

  host::TempDir directory_ = host::TempDir::make("afterwords-test").value();
  Pool pool_;
  Script script_;
  Collector collector_;
  observe::Metrics metrics_;
  std::unique_ptr<history::History> history_;
  history::MissBook book_{directory_.path()};
  std::unique_ptr<Afterwords> afterwords_;
  std::unique_ptr<Builds> builds_;
};

TEST_F(AfterwordsTest, FinalizeEndsTheWaitForTheTraceAndTheReasons) {
  open(std::chrono::hours(1));
  build("one", "1");
  build("two", "2");
  ASSERT_TRUE(history_->finalize("two").ok());
  history::Record record = history_->find("two").value().value();
  ASSERT_TRUE(record.trace);
  EXPECT_THAT(blob(record.trace->digest), HasSubstr("\"Name\": \"moby.buildkit.v1.Control/Solve\""));
  std::string misses = blob(record.logs->annotations.at(history::kMissesAnnotation));
  EXPECT_THAT(misses, HasSubstr("'V' changed from '1' to '2'"));
  EXPECT_THAT(metrics_.text({}), HasSubstr("kiln_cache_misses_total{reason=\"changed\"} 1"));
  EXPECT_FALSE(history_->find("one").value()->trace);
}

TEST_F(AfterwordsTest, AnExplainedBuildReadsTheReasonInItsOwnLog) {
  open(std::chrono::hours(1));
  build("one", "1");
  build("two", "2", /*explain=*/true);
  EXPECT_THAT(blob(history_->find("two").value()->logs->digest),
              HasSubstr("cache miss: the variable or build argument 'V' changed"));
  EXPECT_THAT(blob(history_->find("one").value()->logs->digest), testing::Not(HasSubstr("cache miss")));
}

TEST_F(AfterwordsTest, SpansOfAClientJoinTheBuildOfTheirTraceAndAllAreSentOn) {
  open(std::chrono::milliseconds(1));
  opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest message;
  observe::Span span;
  span.trace_id = "0af7651916cd43dd8448eb211c80319c";
  span.span_id = "b7ad6b7169203331";
  span.name = "client";
  span.attributes = {{"text", std::string("x")}, {"number", std::int64_t{4}}, {"flag", true}, {"real", 0.5}};
  span.resource = {{"service.name", std::string("buildx")}};
  to_message({span}, {}, message);
  script_.act = [&](RunningBuild&, std::stop_token) -> Result<SolveResponse> {
    for (const observe::Span& one : from_message(message)) EXPECT_TRUE(builds_->add_span(one));
    return SolveResponse{};
  };
  build("one", "1");
  ASSERT_TRUE(history_->finalize("one").ok());
  builds_.reset();
  afterwords_.reset();
  ASSERT_EQ(collector_.all.size(), 2u);
  EXPECT_EQ(collector_.all[0].parent_id, span.span_id);
  EXPECT_EQ(collector_.all[1].attributes, span.attributes);
  EXPECT_EQ(collector_.all[1].resource, span.resource);
}

}  // namespace
}  // namespace kiln::daemon
