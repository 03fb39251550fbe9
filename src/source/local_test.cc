// local:// end to end: a client's directory becomes a tree, changes travel alone, and the digests
// that were told while writing are those that the files have.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content/blob_store_file.h"
#include "graph/attributes.h"
#include "host/fs.h"
#include "session/session_fixture.h"
#include "source/local.h"

namespace kiln::source {
namespace {

class LocalTest : public testing::Test {
 protected:
  void SetUp() override {
    state_ = *host::TempDir::make("kiln-local-test-", "/dev/shm");
    from_ = *host::TempDir::make("kiln-local-from-", "/dev/shm");
    blobs_ = *content::FileBlobStore::open(state_.path() + "/blobs");
    open_trees();
    write("a/file", "one");
    write("b", "two");
    ASSERT_EQ(symlink("a/file", (from_.path() + "/link").c_str()), 0);
    ASSERT_EQ(link((from_.path() + "/b").c_str(), (from_.path() + "/hard").c_str()), 0);
    session::Offers offers;
    offers.dirs["context"] = *session::DirTree::at(from_.path());
    client_ = daemon_.connect(std::move(offers));
  }
  void open_trees() {
    source_.reset();
    trees_.reset();
    store::TreesOptions options;
    options.root = state_.path() + "/trees";
    options.blobs = blobs_.get();
    options.pool = &pool_;
    auto trees = store::Trees::open(options);
    ASSERT_TRUE(trees.ok()) << trees.status();
    trees_ = *std::move(trees);
    source_ = std::make_shared<LocalSource>(LocalSourceOptions{trees_.get(), state_.path() + "/local"});
  }
  void write(const std::string& path, const std::string& text) {
    std::string full = from_.path() + "/" + path;
    ASSERT_TRUE(host::make_dirs(full.substr(0, full.rfind('/'))).ok());
    ASSERT_TRUE(host::write_file(full, text).ok());
  }
  Result<store::TreeRef> sync() {
    graph::SourceOp op{"local://context",
                       {{graph::kAttrLocalSession, client_->id()}, {graph::kAttrLocalExcludePatterns, "[\"*.o\"]"}}};
    Asker asker{{}, event::null_reporter(), daemon_.group(*client_), nullptr};
    KILN_ASSIGN_OR_RETURN(auto fetch, source_->open(op, {}));
    KILN_ASSIGN_OR_RETURN(Key key, fetch->key(0, asker));
    EXPECT_TRUE(key.text.starts_with("session:context:sha256:")) << key.text;
    return fetch->tree(asker);
  }
  std::string read(const store::TreeRef& tree, const std::string& path) {
    auto opened = trees_->open(tree);
    if (!opened.ok()) return std::string(message_of(opened.status()));
    auto text = host::read_file(opened->path() + "/" + path);
    return text.ok() ? *text : "absent";
  }
  // The digest that the disk gives: of a copy that nobody told anything about.
  Digest disk_digest(const store::TreeRef& tree) {
    auto copy = *trees_->make_mutable(nullptr, {});
    auto to = *copy->open();
    auto from = *trees_->open(tree);
    EXPECT_TRUE(host::copy_tree(from.path(), to.path(), {}).ok());
    to = {};
    auto done = *copy->commit();
    return *trees_->digest(done, "/a", {});
  }

  host::TempDir state_, from_;
  Pool pool_;
  std::unique_ptr<content::BlobStore> blobs_;
  std::unique_ptr<store::Trees> trees_;
  std::shared_ptr<LocalSource> source_;
  session::Daemon daemon_;
  std::unique_ptr<session::ClientSession> client_;
};

TEST_F(LocalTest, ChangesTravelAloneAndDigestsAreTrue) {
  auto first = sync();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(read(*first, "a/file"), "one");
  EXPECT_EQ(read(*first, "hard"), "two");
  auto root_digest = trees_->digest(*first, "/", {});
  ASSERT_TRUE(root_digest.ok()) << root_digest.status();
  EXPECT_EQ(*trees_->digest(*first, "/a", {}), disk_digest(*first));
  first->reset();

  auto again = sync();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*trees_->digest(*again, "/", {}), *root_digest);
  again->reset();

  write("a/file", "three");
  write("c/new", "n");
  unlink((from_.path() + "/link").c_str());
  auto changed = sync();
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(read(*changed, "a/file"), "three");
  EXPECT_EQ(read(*changed, "c/new"), "n");
  EXPECT_EQ(*trees_->digest(*changed, "/a", {}), disk_digest(*changed));
  EXPECT_NE(*trees_->digest(*changed, "/", {}), *root_digest);
  EXPECT_TRUE(is_not_found(trees_->digest(*changed, "/link", {}).status()));
}

TEST_F(LocalTest, ATreeInUseStaysAsItIs) {
  auto first = sync();
  ASSERT_TRUE(first.ok()) << first.status();
  write("b", "other");
  auto second = sync();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(read(*first, "b"), "two");
  EXPECT_EQ(read(*second, "b"), "other");
}

TEST_F(LocalTest, TheKeptTreeOutlivesTheDaemon) {
  auto first = sync();
  ASSERT_TRUE(first.ok()) << first.status();
  Digest digest = *trees_->digest(*first, "/", {});
  first->reset();
  open_trees();
  auto again = sync();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(read(*again, "b"), "two");
  EXPECT_EQ(*trees_->digest(*again, "/", {}), digest);
  auto kept = trees_->count_kept("local.sharedKey:context::shared");
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(*kept, 1);
}

}  // namespace
}  // namespace kiln::source
