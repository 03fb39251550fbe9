// Sources on real trees: an image from a scripted registry, downloads with ETags from a scripted
// server, and a git repository made on the spot. Keys are checked against the bytes BuildKit hashes.
#include <gtest/gtest.h>
#include <unistd.h>

#include "content/blob_store_file.h"
#include "content/image_config.h"
#include "graph/attributes.h"
#include "host/fs.h"
#include "registry/client.h"
#include "registry/scripted_transport.h"
#include "source/blob.h"
#include "source/git.h"
#include "source/git_command.h"
#include "source/http_source.h"
#include "source/image.h"
#include "source/single_file.h"

namespace kiln::source {
namespace {

using registry::ScriptedAnswer;
using registry::ScriptedTransport;

class SourceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto dir = host::TempDir::make("kiln-source-test-");
    ASSERT_TRUE(dir.ok());
    dir_ = std::move(*dir);
    auto blobs = content::FileBlobStore::open(dir_.path() + "/content");
    ASSERT_TRUE(blobs.ok()) << blobs.status();
    blobs_ = std::move(*blobs);
    store::TreesOptions options;
    options.root = dir_.path() + "/store";
    options.blobs = blobs_.get();
    options.pool = &pool_;
    options.snapshotter = "native";
    auto trees = store::Trees::open(std::move(options));
    ASSERT_TRUE(trees.ok()) << trees.status();
    trees_ = std::move(*trees);
  }
  Asker asker() {
    return {.stop = {}, .reporter = event::null_reporter(), .sessions = {}, .lasting_reporter = nullptr};
  }

  std::string get(const store::TreeRef& tree, const std::string& path) {
    auto open = trees_->open(tree);
    if (!open.ok()) return std::string(message_of(open.status()));
    auto file = host::open_in_root(open->root.get(), path, O_RDONLY);
    return file.ok() ? *host::read_to_end(file->get(), 100'000) : "(none)";
  }

  host::TempDir dir_;
  Pool pool_;
  std::unique_ptr<content::FileBlobStore> blobs_;
  std::unique_ptr<store::Trees> trees_;
};

// ---- images ---------------------------------------------------------------------------------

class ScriptedImage {
 public:
  ScriptedImage() {
    content::ImageConfig config;
    config.platform = {.os = "linux", .architecture = "amd64"};
    config.diff_ids = {Digest::of(layer_)};
    content::Manifest manifest;
    manifest.media_type = content::kOciManifest;
    manifest.config = add(content::to_json(config), content::kOciConfig);
    manifest.layers = {add(layer_, content::kOciLayer)};
    content::Index index;
    index.media_type = content::kOciIndex;
    content::Descriptor entry = add(content::to_json(manifest), content::kOciManifest);
    entry.platform = config.platform;
    index.manifests = {entry};
    root = add(content::to_json(index), content::kOciIndex);
  }
  ScriptedAnswer answer(const registry::Request& request) const {
    for (const auto& [digest, blob] : blobs_) {
      if (request.url.find(digest.str()) == std::string::npos &&
          !(digest == root.digest && request.url.ends_with("/latest")))
        continue;
      return {.status = 200,
              .headers = {{"Content-Type", blob.second}, {"Docker-Content-Digest", digest.str()}},
              .body = blob.first};
    }
    return {.status = 404};
  }
  content::Descriptor root;

 private:
  content::Descriptor add(std::string bytes, std::string_view type) {
    content::Descriptor out{
        .media_type = std::string(type), .digest = Digest::of(bytes), .size = static_cast<std::int64_t>(bytes.size())};
    blobs_[out.digest] = {std::move(bytes), std::string(type)};
    return out;
  }
  std::string layer_ = std::string(1024, '\0');  // a tar of nothing
  std::map<Digest, std::pair<std::string, std::string>> blobs_;
};

TEST_F(SourceTest, ResolvesAnImageWithoutItsLayersAndFetchesThemWhenNeeded) {
  ScriptedImage image;
  ScriptedTransport http([&](const registry::Request& request) { return image.answer(request); });
  registry::Registry client(http, {.user_agent = "test"});
  auto images = std::make_shared<ImageSource>(
      ImageSourceOptions{.trees = trees_.get(), .blobs = blobs_.get(), .registry = &client});
  auto fetch = images->open({.identifier = "docker-image://example.com/app:latest"},
                            Platform{.os = "linux", .architecture = "amd64"});
  ASSERT_TRUE(fetch.ok()) << fetch.status();
  auto key = (*fetch)->key(0, asker());
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->text,
            Digest::of(fmt::format(R"({{"Digest":"{}","OS":"linux","Arch":"amd64"}})", image.root.digest.str())).str());
  EXPECT_EQ(key->pin, image.root.digest.str());
  EXPECT_FALSE(key->last);
  auto second = (*fetch)->key(1, asker());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->text, Digest::of(std::string(1024, '\0')).str());
  EXPECT_TRUE(second->last);
  auto tree = (*fetch)->tree(asker());
  ASSERT_TRUE(tree.ok()) << tree.status();
  std::size_t before = http.lines().size();
  EXPECT_EQ(before, 4u);  // HEAD, index, manifest, config
  EXPECT_TRUE(trees_->open(*tree).ok());
  EXPECT_EQ(http.lines().size(), before + 1);

  // By digest, what is known needs nobody.
  graph::SourceOp pinned{.identifier = "docker-image://example.com/app:latest@" + image.root.digest.str()};
  auto again = images->open(pinned, Platform{.os = "linux", .architecture = "amd64"});
  ASSERT_TRUE((*again)->key(0, asker()).ok());
  EXPECT_EQ(http.lines().size(), before + 1);
}

TEST_F(SourceTest, SaysWhichPlatformAnImageLacks) {
  ScriptedImage image;
  ScriptedTransport http([&](const registry::Request& request) { return image.answer(request); });
  registry::Registry client(http, {.user_agent = "test"});
  auto images = std::make_shared<ImageSource>(
      ImageSourceOptions{.trees = trees_.get(), .blobs = blobs_.get(), .registry = &client});
  auto fetch = images->open({.identifier = "docker-image://example.com/app:latest"},
                            Platform{.os = "linux", .architecture = "s390x"});
  Status status = (*fetch)->key(0, asker()).status();
  EXPECT_TRUE(is_not_found(status));
  EXPECT_NE(message_of(status).find("linux/s390x: no match for platform in manifest: not found"), std::string::npos);
}

// ---- http -----------------------------------------------------------------------------------

TEST_F(SourceTest, DownloadsAFileAndTrustsItsEtagAfterwards) {
  std::string body = "v1";
  ScriptedTransport http([&](const registry::Request& request) -> ScriptedAnswer {
    std::string etag = "\"" + body + "\"";
    if (request.headers.get("If-None-Match") == etag) return {.status = 304, .headers = {{"ETag", etag}}};
    return {.status = 200,
            .headers = {{"ETag", "W/" + etag}, {"Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT"}},
            .body = body};
  });
  auto source = std::make_shared<HttpSource>(HttpSourceOptions{.trees = trees_.get(), .http = &http});
  graph::SourceOp op{.identifier = "https://host.example/dir/file.txt?x=1"};
  auto use = [&]() -> std::pair<std::string, std::string> {
    auto fetch = source->open(op, {});
    auto key = (*fetch)->key(0, asker());
    EXPECT_TRUE(key.ok()) << key.status();
    auto tree = (*fetch)->tree(asker());
    EXPECT_TRUE(tree.ok()) << tree.status();
    return {key->text, get(*tree, "file.txt")};
  };
  auto [key, text] = use();
  EXPECT_EQ(text, "v1");
  EXPECT_EQ(key, Digest::of(R"({"Filename":"file.txt","Perm":0,"UID":0,"GID":0,"Checksum":")" + Digest::of("v1").str() +
                            R"(","LastModTime":"Wed, 21 Oct 2015 07:28:00 GMT"})")
                     .str());
  EXPECT_EQ(use().first, key);
  EXPECT_EQ(http.requests().back().method, "HEAD");
  body = "v2";
  EXPECT_EQ(use().second, "v2");
}

TEST_F(SourceTest, RefusesADownloadWithAnotherChecksum) {
  ScriptedTransport http([](const registry::Request&) -> ScriptedAnswer { return {.status = 200, .body = "evil"}; });
  auto source = std::make_shared<HttpSource>(HttpSourceOptions{.trees = trees_.get(), .http = &http});
  auto fetch =
      source->open({.identifier = "https://h/f", .attrs = {{graph::kAttrHttpChecksum, Digest::of("good").str()}}}, {});
  ASSERT_TRUE((*fetch)->key(0, asker()).ok());
  EXPECT_TRUE(http.lines().empty());
  EXPECT_NE(message_of((*fetch)->tree(asker()).status()).find("digest mismatch for https://h/f"), std::string::npos);
}

TEST(FileName, IsTheLastComponentOrDownload) {
  EXPECT_EQ(safe_file_name("/a/b.txt"), "b.txt");
  for (const char* name : {"", "/", "..", "a/..", "x\ny"}) EXPECT_EQ(safe_file_name(name), "download") << name;
}

// ---- git ------------------------------------------------------------------------------------

class GitTest : public SourceTest {
 protected:
  void SetUp() override {
    SourceTest::SetUp();
    if (IsSkipped()) return;
    if (!GitCommand::find().ok()) GTEST_SKIP() << "git is not installed";
    repo_ = dir_.path() + "/origin";
    ASSERT_TRUE(host::make_dirs(repo_ + "/sub").ok());
    git({"-c", "init.defaultBranch=main", "init"});
    commit("a.txt", "one");
    first_ = head();
    git({"-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "v1", "-m", "v1"});
    commit("sub/b.txt", "two");
    second_ = head();
    source_ = std::make_shared<GitSource>(GitSourceOptions{.trees = trees_.get()});
  }
  std::string git(std::vector<std::string> args) {
    GitCommand command = *GitCommand::find();
    command.work_tree = repo_;
    command.git_dir = repo_ + "/.git";
    Result<std::string> out = command.run(std::move(args), asker());
    EXPECT_TRUE(out.ok()) << out.status();
    return out.value_or("");
  }
  void commit(const std::string& path, const std::string& text) {
    ASSERT_TRUE(host::write_file(repo_ + "/" + path, text).ok());
    git({"add", "-A"});
    git({"-c", "user.name=t", "-c", "user.email=t@t", "commit", "-m", path});
  }
  std::string head() { return git({"rev-parse", "HEAD"}).substr(0, 40); }
  store::TreeRef checkout(const GitWish& wish) {
    auto tip = source_->resolve(wish, asker());
    EXPECT_TRUE(tip.ok()) << tip.status();
    if (!tip.ok()) return nullptr;
    auto tree = source_->checkout(wish, *tip, git_key(wish, *tip), asker());
    EXPECT_TRUE(tree.ok()) << tree.status();
    return tree.ok() ? *tree : nullptr;
  }

  std::string repo_;
  std::string first_;
  std::string second_;
  std::shared_ptr<GitSource> source_;
};

TEST_F(GitTest, ChecksOutBranchesTagsAndCommits) {
  GitWish wish{.remote = repo_};
  auto tip = source_->resolve(wish, asker());
  ASSERT_TRUE(tip.ok()) << tip.status();
  EXPECT_EQ(tip->ref, "refs/heads/main");
  EXPECT_EQ(git_key(wish, *tip), second_);
  EXPECT_EQ(get(checkout(wish), "sub/b.txt"), "two");

  wish.ref = "v1";
  tip = source_->resolve(wish, asker());
  EXPECT_EQ(tip->commit, first_);
  EXPECT_EQ(git_key(wish, *tip), first_);
  store::TreeRef tagged = checkout(wish);
  EXPECT_EQ(get(tagged, "a.txt"), "one");
  EXPECT_EQ(get(tagged, "sub/b.txt"), "(none)");

  wish.ref = first_;
  EXPECT_EQ(get(checkout(wish), "a.txt"), "one");
}

TEST_F(GitTest, FollowsABranchThatMoved) {
  GitWish wish{.remote = repo_, .ref = "main"};
  checkout(wish);
  commit("a.txt", "three");
  EXPECT_EQ(get(checkout(wish), "a.txt"), "three");
}

TEST_F(GitTest, TakesASubdirectoryAndKeepsTheGitDirectoryOnRequest) {
  GitWish wish{.remote = repo_, .ref = "main", .checksum = {}, .subdir = "sub"};
  store::TreeRef sub = checkout(wish);
  EXPECT_EQ(get(sub, "b.txt"), "two");
  EXPECT_EQ(get(sub, "a.txt"), "(none)");
  GitWish keep{.remote = repo_, .ref = "main"};
  keep.keep_git_dir = true;
  EXPECT_EQ(git_key(keep, *source_->resolve(keep, asker())), second_ + ".git#refs/heads/main");
  store::TreeRef kept = checkout(keep);
  EXPECT_EQ(get(kept, "a.txt"), "one");
  EXPECT_EQ(get(kept, ".git/HEAD").substr(0, 40), second_);
}

TEST_F(GitTest, RefusesAWrongChecksumAndAnUnknownRef) {
  GitWish wish{.remote = repo_, .ref = "main", .checksum = "deadbeef"};
  EXPECT_NE(
      message_of(source_->resolve(wish, asker()).status()).find("expected checksum to match deadbeef, got " + second_),
      std::string::npos);
  wish = {.remote = repo_, .ref = "nowhere"};
  EXPECT_NE(message_of(source_->resolve(wish, asker()).status()).find("repository does not contain ref nowhere"),
            std::string::npos);
}

TEST(GitCommand, MasksLoginsInUrls) {
  EXPECT_EQ(redact_url("https://me:secret@host/x.git"), "https://xxxxx:xxxxx@host/x.git");
  EXPECT_EQ(redact_url("https://host/x.git"), "https://host/x.git");
}

}  // namespace
}  // namespace kiln::source
