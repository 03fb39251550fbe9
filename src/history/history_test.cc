// Records of builds: that they are found again, filtered, retained and told of.
#include "history/history.h"

#include <gtest/gtest.h>

#include "history/filter.h"
#include "history/miss_book.h"
#include "host/fs.h"

namespace kiln::history {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = host::TempDir::make("history-test").value();
    reopen();
  }
  void reopen(int entries_max = 50) {
    history_.reset();
    history_ = History::open({.root = directory_.path() + "/h", .entries_max = entries_max, .clock = &clock_}).value();
  }
  Record record(const std::string& ref, Duration age = {}) {
    Record r;
    r.ref = ref;
    r.created = clock_.now() - std::chrono::duration_cast<Time::duration>(age + minutes(1));
    r.completed = clock_.now() - std::chrono::duration_cast<Time::duration>(age);
    return r;
  }
  std::vector<std::string> refs(const ListOptions& options = {}) {
    std::vector<std::string> out;
    auto events = history_->list(options);
    EXPECT_TRUE(events.ok()) << events.status();
    if (events.ok())
      for (const Event& event : *events) out.push_back(event.record.ref);
    return out;
  }

  host::TempDir directory_;
  ManualClock clock_{Time(hours(24 * 365 * 50))};
  std::unique_ptr<History> history_;
};

TEST_F(HistoryTest, ARecordSurvivesARestartWithEverythingInIt) {
  StringSource log("log bytes");
  Record r = record("one");
  r.frontend_attrs["target"] = "x";
  r.exporters.push_back({"image", {{"name", "n"}}});
  r.error = Error{2, "it failed"};
  r.logs = history_->write_blob(kStatusMediaType, log).value();
  r.results["linux/amd64"].attestations.push_back({"m", "sha256:00", 3, {{"a", "b"}}});
  r.results["linux/amd64"].results[1] = {"m", "sha256:01", 4, {}};
  ASSERT_TRUE(history_->completed(r).ok());
  reopen();
  Record back = history_->find("one").value().value();
  EXPECT_EQ(encode_record(back), encode_record(r));
  EXPECT_EQ(back.results["linux/amd64"].results[1].size, 4);
  EXPECT_EQ(content::read_blob(history_->blobs(), Digest::parse(back.logs->digest).value()).value(), "log bytes");
}

TEST_F(HistoryTest, ABlobGoesWithItsLastRecord) {
  StringSource first("same"), second("same");
  Record a = record("a"), b = record("b");
  a.logs = history_->write_blob(kStatusMediaType, first).value();
  b.logs = history_->write_blob(kStatusMediaType, second).value();
  ASSERT_TRUE(history_->completed(a).ok());
  ASSERT_TRUE(history_->completed(b).ok());
  const Digest digest = Digest::parse(a.logs->digest).value();
  ASSERT_TRUE(history_->remove("a").ok());
  EXPECT_TRUE(history_->blobs().info(digest).value().has_value());
  ASSERT_TRUE(history_->remove("b").ok());
  EXPECT_FALSE(history_->blobs().info(digest).value().has_value());
}

TEST_F(HistoryTest, BlobsKeptForARecordLiveAsLongAsIt) {
  StringSource manifest("{}");
  Record r = record("x");
  r.kept = {history_->write_blob("application/json", manifest).value().digest};
  const Digest digest = Digest::parse(r.kept[0]).value();
  ASSERT_TRUE(history_->completed(r).ok());
  ASSERT_TRUE(history_->set_pinned("x", true).ok());  // writes the record anew, from what was read
  ASSERT_TRUE(history_->sweep().ok());
  EXPECT_TRUE(history_->blobs().info(digest).value().has_value());
  ASSERT_TRUE(history_->remove("x").ok());
  EXPECT_FALSE(history_->blobs().info(digest).value().has_value());
  EXPECT_EQ(history_->remove("x").code(), Code::kNotFound);
}

// What explains a build's misses comes after its end, and is named beside its log.
TEST_F(HistoryTest, WhatIsStillToBeWrittenForARecordGoesWithIt) {
  StringSource log("log"), misses("misses");
  Record r = record("x");
  r.logs = history_->write_blob(kStatusMediaType, log).value();
  ASSERT_TRUE(history_->completed(r).ok());
  std::string late;
  history_->set_finalizer("x", [&] {
    late = history_->write_blob(kMissesMediaType, misses).value().digest;
    EXPECT_TRUE(history_->update("x", [&](Record& found) { found.logs->annotations[kMissesAnnotation] = late; }).ok());
    history_->finalizer_done("x");
  });
  ASSERT_TRUE(history_->remove("x").ok());
  ASSERT_FALSE(late.empty());
  EXPECT_FALSE(history_->blobs().info(Digest::parse(late).value()).value().has_value());
  EXPECT_FALSE(history_->blobs().info(Digest::parse(r.logs->digest).value()).value().has_value());
}

TEST_F(HistoryTest, OldRecordsGoOnlyBeyondTheNumberToKeepAndNeverWhenPinned) {
  reopen(2);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(history_->completed(record("r" + std::to_string(i), hours(40 + 5 * i))).ok());
  ASSERT_TRUE(history_->set_pinned("r4", true).ok());
  ASSERT_TRUE(history_->sweep().ok());
  // r0 and r1 are the newest two, r2 is beyond them and 50 h old, r3 too; r4 is pinned.
  EXPECT_EQ(refs(), (std::vector<std::string>{"r4", "r1", "r0"}));
}

TEST_F(HistoryTest, AListenerHearsStartProgressEndAndRemoval) {
  std::vector<std::pair<EventKind, int>> heard;
  const auto id = history_->subscribe("", [&](const Event& e) { heard.emplace_back(e.kind, e.record.total_steps); });
  Record r = record("x");
  r.completed.reset();
  history_->started(r);
  history_->progress("x", [] { return StepProgress{.total = 3}; });  // too soon after the start
  clock_.advance(std::chrono::seconds(2));
  history_->progress("x", [] { return StepProgress{.total = 4}; });
  EXPECT_EQ(refs({.active_only = true}), std::vector<std::string>{"x"});
  r.completed = clock_.now();
  ASSERT_TRUE(history_->completed(r).ok());
  ASSERT_TRUE(history_->remove("x").ok());
  history_->unsubscribe(id);
  ASSERT_TRUE(history_->completed(r).ok());
  EXPECT_EQ(
      heard,
      (std::vector<std::pair<EventKind, int>>{
          {EventKind::kStarted, 0}, {EventKind::kStarted, 4}, {EventKind::kComplete, 0}, {EventKind::kDeleted, 0}}));
}

TEST_F(HistoryTest, ARecordListenedToIsRemovedWhenTheListenerLeaves) {
  ASSERT_TRUE(history_->completed(record("x")).ok());
  const auto id = history_->subscribe("x", [](const Event&) {});
  ASSERT_TRUE(history_->remove("x").ok());
  EXPECT_TRUE(history_->find("x").value().has_value());
  EXPECT_TRUE(refs().empty());
  history_->unsubscribe(id);
  EXPECT_FALSE(history_->find("x").value().has_value());
}

TEST_F(HistoryTest, FiltersSelectByTimeStatusAndRepository) {
  Record ok_build = record("good", hours(10)), failed = record("bad", hours(1));
  ok_build.frontend_attrs["context"] = "https://github.com/user/repo.git#abc";
  failed.frontend_attrs["vcs:source"] = "testrepo";
  failed.error = Error{2, "boom"};
  ASSERT_TRUE(history_->completed(ok_build).ok());
  ASSERT_TRUE(history_->completed(failed).ok());
  using V = std::vector<std::string>;
  EXPECT_EQ(refs({.filters = {"status==error"}}), V{"bad"});
  EXPECT_EQ(refs({.filters = {"repository==https://github.com/user/repo.git"}}), V{"good"});
  EXPECT_EQ(refs({.filters = {"completedAt>5h"}}), V{"bad"});
  EXPECT_EQ(refs({.filters = {"startedAt<5h,ref~=^go"}}), V{"good"});
  EXPECT_EQ(refs({.filters = {"duration>5m"}}), V{});
  EXPECT_EQ(refs({.filters = {"ref==good", "status==error"}, .limit = 5}), (V{"bad", "good"}));
  EXPECT_EQ(refs({.limit = 1}), V{"bad"});
  EXPECT_FALSE(history_->list({.filters = {"ref+foo"}}).ok());
  EXPECT_FALSE(history_->list({.limit = -1}).ok());
}

}  // namespace
}  // namespace kiln::history
