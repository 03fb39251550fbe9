// One contract for both snapshotters: what was written is seen, by whoever stacks it, and nowhere
// else. Runs on real mounts; skipped where the kernel or the user may not.
#include <gtest/gtest.h>
#include <unistd.h>

#include "host/fs.h"
#include "snapshot/difference.h"
#include "snapshot/native.h"
#include "snapshot/overlay.h"

namespace kiln::snapshot {
namespace {

using host::Fd;
using host::FollowLast;

class SnapshotContract : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto dir = host::TempDir::make("kiln-snapshot-test-");
    ASSERT_TRUE(dir.ok());
    dir_ = std::move(*dir);
    auto opened = open_snapshotter(GetParam(), dir_.path());
    if (!opened.ok()) GTEST_SKIP() << opened.status();
    snapshotter_ = std::move(*opened);
  }
  Fd open(const Chain& chain, const std::string& writable = {}) {
    auto spec = snapshotter_->mounts(chain, writable);
    EXPECT_TRUE(spec.ok()) << spec.status();
    auto fd = host::open_mount(*spec);
    EXPECT_TRUE(fd.ok()) << fd.status();
    return std::move(*fd);
  }
  void write(const Chain& chain, const std::string& id, const std::function<void(int)>& work) {
    Status made = snapshotter_->prepare(id, chain);
    ASSERT_TRUE(made.ok()) << made;
    work(open(chain, id).get());
    ASSERT_TRUE(snapshotter_->commit(id).ok());
  }
  static void put(int root, const std::string& path, const std::string& text) {
    auto file = host::open_in_root(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(host::write_all(file->get(), text).ok());
  }
  static std::string get(int root, const std::string& path) {
    auto file = host::open_in_root(root, path, O_RDONLY);
    return file.ok() ? *host::read_to_end(file->get(), 1000) : "(none)";
  }
  host::TempDir dir_;
  std::unique_ptr<Snapshotter> snapshotter_;
};

TEST_P(SnapshotContract, ChainShowsWhatEachStepDid) {
  write({}, "a", [](int root) {
    put(root, "one", "1");
    put(root, "gone", "x");
    ASSERT_TRUE(host::make_dirs_in_root(root, "d/e", 0755).ok());
    put(root, "d/e/f", "f");
  });
  write({"a"}, "b", [](int root) {
    put(root, "one", "2");
    ASSERT_EQ(::unlinkat(root, "gone", 0), 0);
    ASSERT_TRUE(host::remove_all_at(root, "d").ok());
    ASSERT_EQ(::mkdirat(root, "d", 0755), 0);
  });
  EXPECT_EQ(get(open({"a"}).get(), "one"), "1");
  EXPECT_EQ(get(open({"a", "b"}).get(), "one"), "2");
  EXPECT_EQ(get(open({"a", "b"}).get(), "gone"), "(none)");
  EXPECT_EQ(get(open({"a", "b"}).get(), "d/e/f"), "(none)");
  EXPECT_TRUE(host::list_dir(open({}).get())->empty());
  EXPECT_GT(snapshotter_->usage("a")->bytes, 0);
  EXPECT_EQ(*snapshotter_->list(), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(snapshotter_->remove("b").ok());
  EXPECT_TRUE(snapshotter_->remove("b").ok());
  EXPECT_EQ(*snapshotter_->list(), (std::vector<std::string>{"a"}));
}

TEST_P(SnapshotContract, WritableSnapshotCanBeMountedAgain) {
  write({}, "a", [](int root) { put(root, "one", "1"); });
  ASSERT_TRUE(snapshotter_->prepare("b", {"a"}).ok());
  put(open({"a"}, "b").get(), "x", "x");
  put(open({"a"}, "b").get(), "y", "y");
  EXPECT_EQ(get(open({"a"}, "b").get(), "x"), "x");
  EXPECT_EQ(snapshotter_->prepare("b", {}).code(), Code::kAlreadyExists);
  EXPECT_FALSE(host::open_in_root(open({"a"}).get(), "new", O_WRONLY | O_CREAT, 0644).ok());
}

TEST_P(SnapshotContract, DifferenceStackedOnLowerLooksLikeUpper) {
  write({}, "low", [](int root) {
    put(root, "same", "s");
    put(root, "changed", "old");
    put(root, "gone", "x");
    put(root, "became-dir", "x");
    ASSERT_TRUE(host::make_dirs_in_root(root, "became-file/x", 0755).ok());
    ASSERT_TRUE(host::make_dirs_in_root(root, "deep/er", 0755).ok());
    put(root, "deep/er/gone", "x");
    put(root, "deep/kept", "x");
  });
  write({}, "high", [](int root) {
    put(root, "changed", "new one");
    put(root, "added", "a");
    ASSERT_TRUE(host::make_dirs_in_root(root, "became-dir", 0755).ok());
    put(root, "became-file", "f");
    ASSERT_TRUE(host::make_dirs_in_root(root, "deep/er", 0755).ok());
    put(root, "deep/kept", "x");
  });
  ASSERT_TRUE(snapshotter_->prepare("diff", {}).ok());
  Status status = write_difference(snapshotter_->directory("low"), snapshotter_->directory("high"),
                                   snapshotter_->directory("diff"), {});
  ASSERT_TRUE(status.ok()) << status;
  if (snapshotter_->material() == Material::kWholeTree) return;
  Fd seen = open({"low", "diff"});
  EXPECT_EQ(*host::list_dir(seen.get()),
            (std::vector<std::string>{"added", "became-dir", "became-file", "changed", "deep"}));
  EXPECT_EQ(get(seen.get(), "changed"), "new one");
  EXPECT_EQ(get(seen.get(), "became-file"), "f");
  EXPECT_EQ(get(seen.get(), "deep/er/gone"), "(none)");
  EXPECT_EQ(get(seen.get(), "deep/kept"), "x");
  // On nothing, what takes away is not seen.
  EXPECT_EQ(get(open({"", "diff"}).get(), "added"), "a");
  EXPECT_EQ(host::list_dir(open({"", "diff"}).get())->size(), 5u);
}

INSTANTIATE_TEST_SUITE_P(Both, SnapshotContract, testing::Values("overlayfs", "native"));

}  // namespace
}  // namespace kiln::snapshot
