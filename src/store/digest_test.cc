// Content digests against what BuildKit gives for the same files; a change here means that cache
// records no longer travel.
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host/fs.h"
#include "store/internal/digest_index.h"

namespace kiln::store {
namespace {

class DigestTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: owners are part of the digests";
    auto dir = host::TempDir::make("kiln-digest-test-");
    ASSERT_TRUE(dir.ok());
    dir_ = std::move(*dir);
    root_ = dir_.path();
    ASSERT_EQ(::chmod(root_.c_str(), 0755), 0);
    make_dir("/src", 0755);
    make_dir("/src/sub", 01777);
    make_file("/src/a.txt", "alpha", 0644);
    make_file("/src/b.md", "beta", 0600);
    ASSERT_EQ(::chown((root_ + "/src/b.md").c_str(), 1000, 1001), 0);
    make_file("/src/sub/c.txt", "gamma", 04755);
    make_file("/src/sub-x", "delta", 0644);
    ASSERT_EQ(::symlink("src/a.txt", (root_ + "/link").c_str()), 0);
    ASSERT_EQ(::symlink("/src", (root_ + "/dir-link").c_str()), 0);
    ASSERT_EQ(::mkfifo((root_ + "/fifo").c_str(), 0644), 0);
    if (::setxattr((root_ + "/src/a.txt").c_str(), "user.note", "hi", 2, 0) != 0) GTEST_SKIP() << "no user attributes";
  }
  void make_dir(const std::string& path, mode_t mode) {
    ASSERT_EQ(::mkdir((root_ + path).c_str(), 0755), 0);
    ASSERT_EQ(::chmod((root_ + path).c_str(), mode), 0);
  }
  void make_file(const std::string& path, const std::string& text, mode_t mode) {
    ASSERT_TRUE(host::write_file(root_ + path, text).ok());
    ASSERT_EQ(::chmod((root_ + path).c_str(), mode), 0);
  }
  std::string ask(DigestIndex& index, const std::string& path, const ChecksumOptions& options = {}) {
    host::Fd fd;
    auto open = [&]() -> Result<int> {
      KILN_ASSIGN_OR_RETURN(fd, host::open_file(root_, O_RDONLY | O_DIRECTORY));
      return fd.get();
    };
    auto digest = index.checksum(path, options, open, &pool_, &memo_, {});
    return digest.ok() ? digest->str().substr(7, 16) : std::string(message_of(digest.status()));
  }
  std::string ask(const std::string& path, const ChecksumOptions& options = {}) {
    DigestIndex index;
    return ask(index, path, options);
  }
  host::TempDir dir_;
  std::string root_;
  Pool pool_;
  FileMemo memo_;
};

TEST_F(DigestTest, FilesDirectoriesAndLinksAreBuildKits) {
  EXPECT_EQ(ask("/"), "886ea20da24568fb");
  EXPECT_EQ(ask("/src/a.txt"), "1dace3a71f9fccce");
  EXPECT_EQ(ask("/src/b.md"), "b161bc541b0ef622");
  EXPECT_EQ(ask("/src"), "9021b7851ed98d60");
  EXPECT_EQ(ask("/link"), "55f53c8343d032aa");
  EXPECT_EQ(ask("/link", {.follow_links = true}), "1dace3a71f9fccce");
  EXPECT_EQ(ask("/dir-link/sub"), "e6d475d35e59d2c7");
  EXPECT_EQ(ask("/fifo"), "ed66acfbb9d93c08");
  EXPECT_EQ(ask("/nothing"), "\"/nothing\": not found");
}

TEST_F(DigestTest, WildcardsAndPatternsAreBuildKits) {
  EXPECT_EQ(ask("/src/*.txt", {.wildcard = true}), "23660133839e46da");
  EXPECT_EQ(ask("/src/", {.include_patterns = {"**/*.txt"}}), "71fd04e8a18ae2c8");
  EXPECT_EQ(ask("/", {.exclude_patterns = {"**/sub"}}), "35e9257c5fd1cf5d");
  EXPECT_EQ(ask("/s*", {.follow_links = true, .wildcard = true, .exclude_patterns = {"*.md"}}), "f7516cde5ad608a5");
  EXPECT_EQ(ask("/dir-link/", {.follow_links = true, .wildcard = true}), "9021b7851ed98d60");
  EXPECT_EQ(ask("/none*", {.wildcard = true}), "e3b0c44298fc1c14");
  EXPECT_EQ(ask("/s*", {.wildcard = true, .required_paths = {"/t"}}), "\"/t\": not found");
}

TEST_F(DigestTest, WhatIsKnownIsNotReadAgainAndSurvivesStorage) {
  DigestIndex index;
  EXPECT_EQ(ask(index, "/"), "886ea20da24568fb");
  auto copy = DigestIndex::parse(index.serialize());
  ASSERT_TRUE(copy.ok()) << copy.status();
  ASSERT_TRUE(host::remove_all(root_ + "/src").ok());
  EXPECT_EQ(ask(index, "/src"), "9021b7851ed98d60");
  EXPECT_EQ(ask(**copy, "/src/*.txt", {.wildcard = true}), "23660133839e46da");
  std::string torn = index.serialize();
  torn[torn.size() / 2] ^= 1;
  EXPECT_FALSE(DigestIndex::parse(torn).ok());
}

TEST_F(DigestTest, SeedsReplaceWhatWasKnown) {
  DigestIndex index;
  FileFacts dir{.mode = S_IFDIR | 0755};
  FileFacts file{.mode = S_IFREG | 0644, .size = 3};
  auto digest_of = [](const FileFacts& facts, const char* bytes) {
    FileDigester digester(facts);
    digester.update(bytes);
    return digester.finish();
  };
  index.seed("d", dir, digest_of(dir, ""));
  index.seed("d/f", file, digest_of(file, "abc"));
  std::string first = ask(index, "/d");
  index.seed("d/f", file, digest_of(file, "abd"));
  EXPECT_NE(ask(index, "/d"), first);
  index.seed("d/g", file, digest_of(file, "abc"));
  index.forget("d/g");
  index.seed("d/f", file, digest_of(file, "abc"));
  EXPECT_EQ(ask(index, "/d"), first);
  index.forget("d");
  EXPECT_EQ(ask(index, "/d/f"), "\"/d/f\": not found");
}

}  // namespace
}  // namespace kiln::store
