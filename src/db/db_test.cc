// The database keeps what was committed, forgets what was not, and survives a file that is garbage.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "db/database.h"
#include "db/grouped_writer.h"

namespace kiln::db {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kiln-db-XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Result<std::unique_ptr<Database>> open() {
    return Database::open({.path = folder_ + "/a.db", .migrations = migrations_});
  }
  static std::int64_t count(Database& d) {
    auto s = d.prepare("SELECT count(*) FROM t");
    EXPECT_TRUE(s.ok() && *s->step());
    return s->integer(0);
  }
  std::string folder_;
  std::vector<std::string> migrations_ = {"CREATE TABLE t(k TEXT PRIMARY KEY, v INTEGER)"};
};

TEST_F(DatabaseTest, KeepsRowsAndAppliesOnlyNewMigrations) {
  ASSERT_TRUE((*open())->run("INSERT INTO t VALUES(?1, ?2)", "a", 7).ok());
  migrations_.push_back("ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'x'");
  auto db = open();
  ASSERT_TRUE(db.ok()) << db.status();
  auto row = (*db)->prepare("SELECT v, w FROM t WHERE k = ?1");
  ASSERT_TRUE(row->bind("a").ok());
  ASSERT_TRUE(*row->step());
  EXPECT_EQ(row->integer(0), 7);
  EXPECT_EQ(row->text(1), "x");
  EXPECT_FALSE(*row->step());
}

TEST_F(DatabaseTest, RefusesAFileOfANewerProgram) {
  ASSERT_TRUE(open().ok());
  migrations_.clear();
  EXPECT_EQ(open().status().code(), Code::kFailedPrecondition);
}

TEST_F(DatabaseTest, RollsBackWhatFailedAndReportsUniqueness) {
  auto db = *open();
  Status status = db->write([](Database& d) {
    KILN_RETURN_IF_ERROR(d.run("INSERT INTO t VALUES('a', 1)"));
    return d.run("INSERT INTO t VALUES('a', 2)");
  });
  EXPECT_EQ(status.code(), Code::kAlreadyExists);
  EXPECT_EQ(count(*db), 0);
}

TEST_F(DatabaseTest, AnInnerRollbackStopsTheOuterCommit) {
  auto db = *open();
  auto outer = *db->begin();
  ASSERT_TRUE(db->run("INSERT INTO t VALUES('a', 1)").ok());
  EXPECT_FALSE(db->write([](Database&) { return engine_error("no"); }).ok());
  EXPECT_FALSE(outer.commit().ok());
}

TEST_F(DatabaseTest, MovesACorruptFileAside) {
  { std::ofstream(folder_ + "/a.db") << std::string(8192, 'x'); }
  auto db = open();
  ASSERT_TRUE(db.ok()) << db.status();
  EXPECT_TRUE((*db)->was_recovered());
  EXPECT_EQ(count(**db), 0);
  int aside = 0;
  for (auto& entry : std::filesystem::directory_iterator(folder_)) {
    aside += entry.path().string().find(".corrupt-") != std::string::npos;
  }
  EXPECT_EQ(aside, 1);
}

TEST_F(DatabaseTest, GroupsWritesOfManyThreadsAndDropsOnlyTheFailing) {
  auto db = *open();
  GroupedWriter writer(*db);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 250; ++i) {
        writer.submit([=](Database& d) { return d.run("INSERT INTO t VALUES(?1, 1)", std::to_string(t * 1000 + i)); });
      }
    });
  }
  threads.clear();
  writer.submit([](Database& d) { return d.run("INSERT INTO t VALUES('0', 1)"); });
  EXPECT_EQ(writer.flush().code(), Code::kAlreadyExists);
  EXPECT_TRUE(writer.flush().ok());
  EXPECT_EQ(count(*db), 1000);
}

}  // namespace
}  // namespace kiln::db
