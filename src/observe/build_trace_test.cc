// The trace of a build: which spans events become, and the form in which clients read them.
#include "observe/build_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace kiln::observe {
namespace {

using std::chrono::milliseconds;
constexpr const char* kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

class BuildTraceTest : public testing::Test {
 protected:
  event::Vertex step(const std::string& name, int start_ms, int end_ms, std::vector<Digest> inputs = {}) {
    event::Vertex v;
    v.digest = Digest::of(name);
    v.name = name;
    v.inputs = std::move(inputs);
    v.started = clock_.now() + milliseconds(start_ms);
    v.completed = clock_.now() + milliseconds(end_ms);
    return v;
  }
  static const Span* find(const std::vector<Span>& spans, const std::string& name) {
    for (const Span& span : spans) {
      if (span.name == name) return &span;
    }
    return nullptr;
  }
  ManualClock clock_{Time(std::chrono::hours(24 * 365 * 50))};
  BuildTrace trace_{"ref", kParent, clock_};
};

TEST_F(BuildTraceTest, ABuildContinuesTheTraceOfItsClient) {
  std::vector<Span> spans = trace_.finish(ok());
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(spans[0].parent_id, "b7ad6b7169203331");
  EXPECT_TRUE(BuildTrace("ref", "rubbish", clock_).finish(ok())[0].parent_id.empty());
}

TEST_F(BuildTraceTest, AStepThatWaitedForItsTurnHasASpanForTheWait) {
  trace_.on(step("base", 0, 10));
  trace_.on(step("prompt", 10, 20, {Digest::of("base")}));
  trace_.on(step("late", 500, 700, {Digest::of("base")}));
  std::vector<Span> spans = trace_.finish(ok());
  EXPECT_EQ(find(spans, "wait: prompt"), nullptr);
  const Span* wait = find(spans, "wait: late");
  ASSERT_NE(wait, nullptr);
  EXPECT_EQ(wait->end - wait->start, milliseconds(490));
}

TEST_F(BuildTraceTest, PhasesAreChildrenOfTheirStepAndRepetitionsAreNotCounted) {
  event::VertexStatus pull;
  pull.vertex = Digest::of("base");
  pull.id = "sha256:abc";
  pull.total = 77;
  pull.started = clock_.now();
  trace_.on(pull);
  pull.completed = clock_.now() + milliseconds(5);
  trace_.on(pull);
  trace_.on(step("base", 0, 10));
  trace_.on(step("base", 0, 10));
  std::vector<Span> spans = trace_.finish(ok());
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(find(spans, "sha256:abc")->parent_id, find(spans, "base")->span_id);
}

TEST_F(BuildTraceTest, AFailureIsTheStatusOfStepAndBuild) {
  event::Vertex failed = step("run", 0, 1);
  failed.error = "exit code: 1";
  trace_.on(failed);
  std::vector<Span> spans = trace_.finish(user_error(Code::kUnknown, "no good"));
  EXPECT_EQ(spans[0].message, "no good");
  EXPECT_EQ(find(spans, "run")->status, SpanStatus::kError);
}

TEST_F(BuildTraceTest, TheJsonIsOneGoSpanStubAfterAnother) {
  trace_.on(step("base", 0, 10));
  const std::string text = span_stubs_json(trace_.finish(ok()));
  const std::size_t second = text.find("\n{") + 1;
  auto stub = nlohmann::json::parse(text.substr(second));
  EXPECT_EQ(stub["Name"], "base");
  EXPECT_EQ(stub["SpanContext"]["TraceID"], "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(stub["Attributes"][1], nlohmann::json::parse(R"({"Key":"cached","Value":{"Type":"BOOL","Value":false}})"));
  EXPECT_EQ(stub["Status"]["Code"], "Unset");
}

TEST(TraceParentTest, OnlyWellFormedParentsCount) {
  EXPECT_TRUE(parse_trace_parent(kParent));
  EXPECT_EQ(trace_parent_text(*parse_trace_parent(kParent)), kParent);
  for (const char* bad : {"", "00-0af7", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                          "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                          "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) {
    EXPECT_FALSE(parse_trace_parent(bad)) << bad;
  }
}

}  // namespace
}  // namespace kiln::observe
