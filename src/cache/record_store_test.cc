// Both record stores keep the same promises: links lead to keys that all inputs share, the newest
// record comes first, and forgetting a record removes keys that lead nowhere.
#include <gtest/gtest.h>

#include "cache/record_store_db.h"

namespace kiln::cache {
namespace {

struct Made {
  std::unique_ptr<db::Database> db;
  std::unique_ptr<RecordStore> store;
};

class RecordStores : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string_view(GetParam()) == "memory") {
      made_.store = std::make_unique<MemoryRecordStore>();
      return;
    }
    auto db = db::Database::open({.path = ":memory:", .migrations = record_migrations()});
    ASSERT_TRUE(db.ok()) << db.status();
    made_.db = *std::move(db);
    made_.store = std::make_unique<DbRecordStore>(*made_.db);
  }
  RecordStore& store() { return *made_.store; }
  Made made_;
};

TEST_P(RecordStores, FindsOnlyKeysThatEveryInputLinksTo) {
  store().add_link("a", {0, "op", ""}, "k1");
  store().add_link("a", {0, "op", ""}, "k2");
  store().add_link("b", {1, "op", "sel"}, "k2");
  EXPECT_EQ(find_keys(store(), "op", {{{"a", ""}}, {{"b", "sel"}}}), std::vector<KeyId>{"k2"});
  EXPECT_TRUE(find_keys(store(), "op", {{{"a", ""}}, {{"b", ""}}}).empty());
  EXPECT_EQ(find_keys(store(), "op", {{{"x", ""}, {"a", ""}}, {{"b", "sel"}}}).size(), 1u);
}

TEST_P(RecordStores, GivesTheNewestRecordFirst) {
  store().add_record("k", {"old", Time(std::chrono::seconds(1))});
  store().add_record("k", {"new", Time(std::chrono::seconds(2))});
  auto records = store().records("k");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].id, "new");
  EXPECT_EQ(records[0].created, Time(std::chrono::seconds(2)));
}

TEST_P(RecordStores, ForgettingARecordRemovesTheWayToIt) {
  store().add_link("root", {0, "op", ""}, "k");
  store().add_record("k", {"r", Time{}});
  EXPECT_TRUE(store().knows("root"));
  store().forget("r");
  EXPECT_FALSE(store().knows("k"));
  EXPECT_TRUE(store().targets("root", {0, "op", ""}).empty());
  EXPECT_FALSE(store().knows("root"));
}

TEST_P(RecordStores, BacklinksTellWhereAKeyComesFrom) {
  store().add_link("a", {0, "op", "s"}, "k");
  auto back = store().backlinks("k");
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].from, "a");
  EXPECT_EQ(back[0].link, (Link{0, "op", "s"}));
}

INSTANTIATE_TEST_SUITE_P(All, RecordStores, ::testing::Values("memory", "database"));

TEST(Key, RootKeysAreThoseOfBuildKit) {
  // sha256("sha256:…@0") as BuildKit's cache configurations hold it.
  EXPECT_EQ(root_key("random:x", 0), "random:x");
  EXPECT_EQ(root_key("sha256:aa", 0), Digest::of("sha256:aa@0").str());
  EXPECT_NE(derived_key("op", {{"a", ""}}), derived_key("op", {{"a", "s"}}));
}

}  // namespace
}  // namespace kiln::cache
