// Chains longer than one overlay mount takes show what the same changes give in a plain directory: seeded
// random changes (files and directories made, replaced by each other, removed, emptied) are made in a step
// of the chain and in that directory, and the two are compared on the way. Runs on real mounts.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "host/fs.h"
#include "snapshot/overlay.h"

namespace kiln::snapshot {
namespace {

// Path → what it is: mode, time and contents.
using Picture = std::map<std::string, std::string>;

Picture picture_of(const std::string& root, const std::string& path = "") {
  Picture out;
  const std::vector<std::string> names = *host::list_dir(root + "/" + path);
  for (const std::string& name : names) {
    const std::string at = path.empty() ? name : path + "/" + name;
    struct stat info;
    EXPECT_EQ(::lstat((root + "/" + at).c_str(), &info), 0);
    out[at] = std::to_string(info.st_mode) + " " + std::to_string(info.st_mtim.tv_sec) + " ";
    if (S_ISDIR(info.st_mode)) {
      out.merge(picture_of(root, at));
    } else {
      out[at] += *host::read_file(root + "/" + at, 1000);
    }
  }
  return out;
}

void set_time(const std::string& path, int seconds) {
  const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

// One change; `pick` decides which, alike for both trees. Times are those of the step.
void change(const std::string& root, std::mt19937 pick, int step) {
  const auto name = [&] { return std::string(1, static_cast<char>('a' + pick() % 4)); };
  std::string path = root;
  std::vector<std::string> touched;
  for (int depth = static_cast<int>(pick() % 3); depth > 0; --depth) {
    path += "/" + name();
    struct stat info;
    if (::lstat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) (void)::unlink(path.c_str());
    ASSERT_TRUE(host::make_dir(path).ok());
    touched.push_back(path);
  }
  path += "/" + name();
  const unsigned what = pick() % 4;
  ASSERT_TRUE(host::remove_all(path).ok());
  if (what == 0) (void)host::make_dir(path, 0700);
  if (what > 1) std::ofstream(path) << "step " << step;
  if (what > 1 && step % 7 == 0) (void)::chmod(path.c_str(), 0600);
  if (what != 1) set_time(path, step);
  for (auto dir = touched.rbegin(); dir != touched.rend(); ++dir) set_time(*dir, step);
}

TEST(Stacks, AVeryLongChainShowsWhatWasDone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto dir = host::TempDir::make("kiln-stacks-test-");
  ASSERT_TRUE(dir.ok());
  for (const char* name : {"/plain", "/point"}) ASSERT_TRUE(host::make_dir(dir->path() + name).ok());
  const std::string plain = dir->path() + "/plain", point = dir->path() + "/point";
  auto snapshotter = open_overlay(dir->path() + "/root");
  if (!snapshotter.ok()) GTEST_SKIP() << snapshotter.status();
  std::mt19937 random(3);
  Chain chain;
  for (int step = 1; step <= 1100; ++step) {
    const std::string id = "s" + std::to_string(step);
    ASSERT_TRUE((*snapshotter)->prepare(id, chain).ok());
    {
      auto mount = host::Mount::at(*(*snapshotter)->mounts(chain, id), point);
      ASSERT_TRUE(mount.ok()) << mount.status() << " at " << step;
      for (int changes = static_cast<int>(random() % 4); changes >= 0; --changes) {
        std::mt19937 pick(static_cast<unsigned>(random()));
        change(plain, pick, step);
        change(point, pick, step);
      }
      if (step % 100 == 99) {
        EXPECT_EQ(picture_of(point), picture_of(plain)) << step;
      }
    }
    ASSERT_TRUE((*snapshotter)->commit(id).ok());
    chain.push_back(id);
  }
  const std::string stacks = dir->path() + "/root/stacks";
  {
    auto mount = host::Mount::at(*(*snapshotter)->mounts(chain), point);
    ASSERT_TRUE(mount.ok()) << mount.status();
    EXPECT_EQ(picture_of(point), picture_of(plain));
  }
  EXPECT_EQ((*snapshotter)->list()->size(), chain.size()) << "the joined layers are nobody's snapshot";
  const std::size_t before = host::list_dir(stacks)->size();
  EXPECT_GT(before, 1u);
  ASSERT_TRUE((*snapshotter)->remove("s1").ok());
  EXPECT_EQ(host::list_dir(stacks)->size(), before - 1) << "they go with each of their snapshots";
  auto again = open_overlay(dir->path() + "/root");
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(host::exists(stacks));
}

}  // namespace
}  // namespace kiln::snapshot
