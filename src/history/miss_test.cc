// Explanations of misses: which earlier run is the nearest, and what is said to differ from it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "history/miss_book.h"
#include "host/fs.h"

namespace kiln::history {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

event::CacheMiss run_step(const std::string& name, const std::string& command, const std::string& version,
                          const std::string& base = "base-key") {
  event::CacheMiss miss;
  miss.vertex = Digest::of(name + command + version + base);
  miss.name = name;
  miss.parts = {{"command", command}, {"env VERSION", version}};
  miss.key = Digest::of(command + version).str();
  miss.inputs.push_back({.vertex = Digest::of(base),
                         .name = "[1/3] FROM base",
                         .source = {},
                         .content = "",
                         .keys = {base},
                         .files = {}});
  return miss;
}

event::CacheMiss copy_step(const std::string& content, std::vector<event::FileSum> files) {
  event::CacheMiss miss;
  miss.vertex = Digest::of(content);
  miss.name = "[2/3] COPY . /src";
  miss.parts = {{"action", "copy '/' to '/src'"}};
  miss.key = "copy";
  miss.inputs.push_back({.vertex = Digest::of("context"),
                         .name = "[internal] load build context",
                         .source = {},
                         .content = content,
                         .keys = {},
                         .files = std::move(files)});
  return miss;
}

class MissTest : public testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() { book_ = std::make_unique<MissBook>(directory_.path(), clock_); }
  std::vector<std::string> lines(const event::CacheMiss& miss, const std::vector<Digest>& ran = {}) {
    return report_lines(book_->explain(miss, ran));
  }

  host::TempDir directory_ = host::TempDir::make("miss-test").value();
  ManualClock clock_{Time(std::chrono::hours(24 * 365 * 50))};
  std::unique_ptr<MissBook> book_;
};

TEST_F(MissTest, AStepThatNeverRanIsTheFirstOfItsKind) {
  EXPECT_EQ(book_->explain(run_step("[2/3] RUN make", "make", "1"), {}).verdict, MissVerdict::kFirst);
  book_->remember("one", {run_step("[2/3] RUN make", "make", "1")});
  // The same place of another file is another step.
  event::CacheMiss other = run_step("[2/3] RUN apt-get update", "apt-get update", "", "other-base");
  other.parts = {{"command", "apt-get update"}};
  EXPECT_EQ(book_->explain(other, {}).verdict, MissVerdict::kFirst);
}

TEST_F(MissTest, AChangedArgumentIsNamedWithBothValuesAcrossARestart) {
  book_->remember("one", {run_step("[2/3] RUN make", "make", "1")});
  reopen();
  MissReport report = book_->explain(run_step("[2/3] RUN make", "make", "2"), {});
  EXPECT_EQ(report.verdict, MissVerdict::kChanged);
  EXPECT_EQ(report.nearest_ref, "one");
  EXPECT_THAT(report_lines(report), ElementsAre("the variable or build argument 'VERSION' changed from '1' to '2'"));
}

TEST_F(MissTest, AMovedInstructionIsFoundByItsWords) {
  book_->remember("one", {run_step("[2/3] RUN make", "make", "1")});
  MissReport report = book_->explain(run_step("[3/4] RUN make", "make", "2"), {});
  EXPECT_EQ(report.verdict, MissVerdict::kChanged);
  EXPECT_EQ(report.nearest_name, "[2/3] RUN make");
}

TEST_F(MissTest, ARewrittenInstructionIsFoundByItsPlaceAndBase) {
  book_->remember("one", {run_step("[2/3] RUN make", "make", "1")});
  EXPECT_THAT(lines(run_step("[2/3] RUN make -j", "make -j", "1")),
              ElementsAre("the command changed from 'make' to 'make -j'"));
}

TEST_F(MissTest, ChangedFilesAreNamed) {
  book_->remember(
      "one", {copy_step("c1", {{"/a", "1", false}, {"/b", "2", false}, {"/gone", "3", false}, {"/lib", "9", true}})});
  EXPECT_THAT(
      lines(copy_step("c2", {{"/a", "1", false}, {"/b", "7", false}, {"/new", "4", false}, {"/lib", "8", true}})),
      ElementsAre("'/b' changed", "below '/lib' something changed", "'/new' was added", "'/gone' was removed"));
}

// The same bytes under two names have one content key: a step must get back the names that it took itself.
TEST_F(MissTest, FilesOfEqualContentKeepTheirNames) {
  event::CacheMiss moved = copy_step("c1", {{"/moved", "1", false}});
  moved.name = "[3/3] COPY --from=one /moved /there";
  moved.key = "another copy";
  book_->remember("one", {copy_step("c1", {{"/named", "1", false}}), moved});
  EXPECT_THAT(lines(copy_step("c2", {{"/named", "2", false}})), ElementsAre("'/named' changed"));
}

TEST_F(MissTest, ManyChangedFilesAreCounted) {
  std::vector<event::FileSum> before, after;
  for (int i = 0; i < 50; ++i) {
    before.push_back({fmt::format("/f{:02}", i), "1", false});
    after.push_back({fmt::format("/f{:02}", i), "2", false});
  }
  book_->remember("one", {copy_step("c1", before)});
  std::vector<std::string> said = lines(copy_step("c2", after));
  ASSERT_EQ(said.size(), 11u);
  EXPECT_EQ(said.back(), "and 40 more paths");
}

TEST_F(MissTest, AnotherBaseImageIsNamedByBothDigests) {
  event::CacheMiss before = run_step("[2/2] RUN make", "make", "1", "old"),
                   now = run_step("[2/2] RUN make", "make", "1", "new");
  before.inputs[0].source = {{"source", "docker-image://busybox@sha256:aa"}};
  now.inputs[0].source = {{"source", "docker-image://busybox@sha256:bb"}};
  book_->remember("one", {before});
  EXPECT_THAT(
      lines(now),
      ElementsAre("the source changed from 'docker-image://busybox@sha256:aa' to 'docker-image://busybox@sha256:bb'"));
}

TEST_F(MissTest, WhatFollowsFromAnotherStepSaysSoAndNothingElse) {
  event::CacheMiss base = run_step("[1/3] FROM base", "x", "1");
  book_->remember("one", {run_step("[3/3] RUN make", "make", "1", "old")});
  event::CacheMiss now = run_step("[3/3] RUN make", "make", "1", "new");
  MissReport report = book_->explain(now, {now.inputs[0].vertex});
  EXPECT_EQ(report.verdict, MissVerdict::kFollows);
  EXPECT_THAT(report_lines(report).at(0), HasSubstr("'[1/3] FROM base', which ran anew"));
}

TEST_F(MissTest, AnIgnoredCacheAndARemovedResultAreToldApart) {
  event::CacheMiss step = run_step("[2/3] RUN make", "make", "1");
  book_->remember("one", {step});
  EXPECT_EQ(book_->explain(step, {}).verdict, MissVerdict::kRemoved);
  step.ignored = true;
  EXPECT_EQ(book_->explain(step, {}).verdict, MissVerdict::kIgnored);
}

TEST_F(MissTest, BytesThatAreNoTextDoNotHarm) {
  book_->remember("one", {run_step("[2/3] RUN \xff\xfe", "\xff", "1")});
  EXPECT_FALSE(misses_json({book_->explain(run_step("[2/3] RUN \xff\xfe", "\xff", "2"), {})}).empty());
}

}  // namespace
}  // namespace kiln::history
