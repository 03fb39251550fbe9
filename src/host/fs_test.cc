// Proves on a real file system (and real mounts when root) that confinement holds, that copies are
// faithful and that mounts without a place can be read.
#include "host/fs.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/mount.h"

namespace kiln::host {
namespace {

class FsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = TempDir::make("kiln-fs-test-");
    ASSERT_TRUE(made.ok());
    dir_ = std::move(*made);
    root_ = dir_.path() + "/root";
    ASSERT_TRUE(make_dirs(root_ + "/a/b").ok());
    ASSERT_TRUE(write_file(dir_.path() + "/secret", "outside").ok());
    ASSERT_TRUE(write_file(root_ + "/a/file", "inside").ok());
    auto fd = open_file(root_, O_PATH | O_DIRECTORY);
    ASSERT_TRUE(fd.ok());
    fd_ = std::move(*fd);
  }
  void link(const std::string& target, const std::string& name) {
    ASSERT_EQ(::symlink(target.c_str(), (root_ + "/" + name).c_str()), 0);
  }
  TempDir dir_;
  std::string root_;
  Fd fd_;
};

TEST_F(FsTest, ConfinedOpenNeverLeavesTheRoot) {
  link("../secret", "up");
  link("/a/file", "absolute");
  EXPECT_FALSE(open_in_root(fd_.get(), "../secret", O_RDONLY).ok());
  EXPECT_FALSE(open_in_root(fd_.get(), "up", O_RDONLY).ok());
  auto file = open_in_root(fd_.get(), "absolute", O_RDONLY);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(*read_to_end(file->get(), 100), "inside");
}

TEST_F(FsTest, ResolvingKeepsWhatDoesNotExistAndEndsLoops) {
  link("/a/b", "l");
  link("loop", "loop");
  EXPECT_EQ(*resolve_in_root(fd_.get(), "/l/new/../x", FollowLast::kYes), "a/b/x");
  EXPECT_EQ(*resolve_in_root(fd_.get(), "../../l", FollowLast::kNo), "l");
  EXPECT_EQ(*resolve_in_root(fd_.get(), "l/", FollowLast::kYes), "a/b");
  EXPECT_FALSE(resolve_in_root(fd_.get(), "loop", FollowLast::kYes).ok());
  std::vector<std::string> made;
  ASSERT_TRUE(make_dirs_in_root(fd_.get(), "/l/c/d", 0755, &made).ok());
  EXPECT_EQ(made, (std::vector<std::string>{"a/b/c", "a/b/c/d"}));
}

TEST_F(FsTest, CopiesKeepLinksHolesModesAndTimes) {
  auto sparse = open_file(root_ + "/a/sparse", O_RDWR | O_CREAT);
  ASSERT_TRUE(sparse.ok());
  ASSERT_EQ(::pwrite(sparse->get(), "end", 3, 1 << 20), 3);
  ASSERT_EQ(::ftruncate(sparse->get(), 3 << 20), 0);
  ASSERT_EQ(::link((root_ + "/a/file").c_str(), (root_ + "/a/other").c_str()), 0);
  ASSERT_EQ(::chmod((root_ + "/a/b").c_str(), 0711), 0);
  link("nowhere", "a/dangling");
  struct timespec times[2] = {{5, 0}, {1234, 5678}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root_ + "/a/file").c_str(), times, 0), 0);
  std::string copy = dir_.path() + "/copy";
  ASSERT_TRUE(make_dir(copy).ok());
  Status status = copy_tree(root_, copy, {});
  ASSERT_TRUE(status.ok()) << status;
  struct stat one, two, hole, dir;
  ASSERT_EQ(::stat((copy + "/a/file").c_str(), &one), 0);
  ASSERT_EQ(::stat((copy + "/a/other").c_str(), &two), 0);
  ASSERT_EQ(::stat((copy + "/a/sparse").c_str(), &hole), 0);
  ASSERT_EQ(::stat((copy + "/a/b").c_str(), &dir), 0);
  EXPECT_EQ(one.st_ino, two.st_ino);
  EXPECT_EQ(one.st_mtim.tv_sec, 1234);
  EXPECT_EQ(one.st_mtim.tv_nsec, 5678);
  EXPECT_EQ(hole.st_size, 3 << 20);
  EXPECT_LT(hole.st_blocks * 512, 1 << 20);
  EXPECT_EQ(read_file(copy + "/a/sparse")->substr(1 << 20, 3), "end");
  EXPECT_EQ(dir.st_mode & 07777, 0711u);
  EXPECT_EQ(*read_link_at(AT_FDCWD, copy + "/a/dangling"), "nowhere");
  EXPECT_EQ(disk_usage(root_)->inodes, disk_usage(copy)->inodes);
}

TEST_F(FsTest, RemovesEverythingBelow) {
  ASSERT_TRUE(remove_all(root_).ok());
  EXPECT_FALSE(exists(root_));
  EXPECT_TRUE(remove_all(root_).ok());
  EXPECT_TRUE(exists(dir_.path() + "/secret"));
}

// Deeper than a path can name and than there are descriptors: a step can leave such a thing.
TEST_F(FsTest, RemovesWhatIsNestedWithoutEnd) {
  std::string top = dir_.path() + "/deep";
  ASSERT_TRUE(make_dir(top).ok());
  Fd at = *open_file(top, O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    ASSERT_TRUE(open_at(at.get(), "file", O_WRONLY | O_CREAT).ok());
    at = *open_at(at.get(), "d", O_RDONLY | O_DIRECTORY);
  }
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few{300, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  Status removed = remove_all(top);
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_FALSE(exists(top));
}

TEST_F(FsTest, OverlayOfManyLayersIsReadableWithoutAPlace) {
  if (!overlay_works(dir_.path())) GTEST_SKIP() << "no overlayfs here";
  std::string lower;
  for (int i = 0; i < 120; ++i) {
    std::string layer =
        dir_.path() + "/a-rather-long-name-of-a-layer-so-that-a-page-is-not-enough-" + std::to_string(i);
    ASSERT_TRUE(make_dir(layer).ok());
    ASSERT_TRUE(write_file(layer + "/f" + std::to_string(i), "x").ok());
    lower += (i ? ":" : "") + escape_overlay_path(layer);
  }
  auto mount = open_mount({"overlay", "overlay", {"lowerdir=" + lower, "ro"}});
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_EQ(list_dir(mount->get())->size(), 120u);
  EXPECT_FALSE(open_in_root(mount->get(), "new", O_WRONLY | O_CREAT, 0644).ok());
}

TEST_F(FsTest, MountsComeAndGoWithTheirOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  std::string target = dir_.path() + "/target";
  ASSERT_TRUE(make_dir(target).ok());
  {
    auto mount = Mount::at({"bind", root_, {"ro"}}, target);
    ASSERT_TRUE(mount.ok()) << mount.status();
    EXPECT_TRUE(exists(target + "/a/file"));
    EXPECT_EQ(errno_of(write_file(target + "/a/new", "")), EROFS);
  }
  EXPECT_FALSE(exists(target + "/a"));
  auto kept = Mount::at({"tmpfs", "tmpfs", {"size=1m"}}, target);
  ASSERT_TRUE(kept.ok()) << kept.status();
  kept->release();
  EXPECT_TRUE(unmount_below(dir_.path()).ok());
  EXPECT_TRUE(remove_all(target).ok());
}

}  // namespace
}  // namespace kiln::host
