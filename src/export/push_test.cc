// Layers go to a registry while later ones are made, each once; the same push again asks one question; what
// failed ahead of the image is told by the push, not twice tried; what a registry lost is sent again.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <mutex>

#include "base/pool.h"
#include "content/blob_store_file.h"
#include "export/exporter.h"
#include "host/fd.h"
#include "host/fs.h"
#include "registry/client.h"
#include "registry/scripted_transport.h"

namespace kiln::exporter {
namespace {

using registry::Request;
using registry::ScriptedAnswer;

class PushTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    dir_ = *host::TempDir::make("kiln-push-test-");
    blobs_ = *content::FileBlobStore::open(dir_.path() + "/content");
    store::TreesOptions options;
    options.root = dir_.path() + "/store";
    options.blobs = blobs_.get();
    options.pool = &pool_;
    options.snapshotter = "native";
    trees_ = *store::Trees::open(std::move(options));
    ports_.trees = trees_.get();
    ports_.blobs = blobs_.get();
    ports_.pool = &pool_;
    ports_.registry = &registry_;
    for (int i = 0; i < 12; ++i)
      result_.tree = with_file(result_.tree, "f" + std::to_string(i), std::string(1000, static_cast<char>('a' + i)));
  }

  store::TreeRef with_file(store::TreeRef parent, const std::string& path, const std::string& text) {
    auto tree = *trees_->make_mutable(std::move(parent), {.description = "write " + path});
    {
      auto open = *tree->open();
      auto file = host::open_in_root(open.root.get(), path, O_WRONLY | O_CREAT, 0644);
      EXPECT_TRUE(file.ok() && host::write_all(file->get(), text).ok());
    }
    return *tree->commit();
  }

  // A registry that keeps what it is given and takes a manifest only when it has its blobs.
  ScriptedAnswer answer(const Request& request) {
    if (refuses_) return {.status = 403};
    std::string path = request.url.substr(request.url.find("/v2/"));
    if (request.method == "POST") return {.status = 202, .headers = {{"Location", path + "1"}}};
    if (path.find("/manifests/") != std::string::npos) {
      if (request.method == "HEAD") {
        if (manifest_.empty()) return {.status = 404};
        return {.status = 200, .headers = {{"Docker-Content-Digest", Digest::of(manifest_).str()}}};
      }
      auto parsed = content::parse_manifest(request.body_text);
      EXPECT_TRUE(parsed.ok());
      bool whole = held_.contains(parsed->config.digest.str());
      for (const auto& layer : parsed->layers) whole &= held_.contains(layer.digest.str());
      if (!whole || forgets_) return {.status = 400, .body = R"({"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]})"};
      manifest_ = request.body_text;
      return {.status = 201};
    }
    if (request.method == "HEAD") return {.status = held_.contains(path.substr(path.rfind('/') + 1)) ? 200 : 404};
    Digest digest = Digest::of(request.body_text);
    EXPECT_EQ(request.url.substr(request.url.find("digest=") + 7), registry::url_encode(digest.str()));
    EXPECT_EQ(held_[digest.str()]++, 0) << "sent twice";
    return {.status = 201};
  }

  Status push(const std::string& name) {
    auto exporter = make_exporter("image", {{"name", name}, {"push", "true"}}, ports_);
    ExportContext context{.reporter = event::null_reporter()};
    auto pending = (*exporter)->run(result_, context);
    KILN_RETURN_IF_ERROR(pending.status());
    return (*pending)->finish(context);
  }

  registry::ScriptedTransport http_{[this](const Request& request) { return answer(request); }};
  registry::Registry registry_{http_, {.concurrency = 4, .backoff = {}}};
  bool refuses_ = false;
  bool forgets_ = false;
  std::string manifest_;
  std::map<std::string, int> held_;

  host::TempDir dir_;
  Pool pool_;
  std::unique_ptr<content::FileBlobStore> blobs_;
  std::unique_ptr<store::Trees> trees_;
  ExportPorts ports_;
  BuildResult result_;
};

TEST_F(PushTest, SendsEachBlobOnceAndTheManifestLast) {
  Status pushed = push("registry.example/app:1");
  ASSERT_TRUE(pushed.ok()) << pushed;
  EXPECT_EQ(held_.size(), 13u);
  EXPECT_EQ(http_.lines().back(), "PUT https://registry.example/v2/app/manifests/1");
}

TEST_F(PushTest, AsksOneQuestionWhenTheSameStandsThere) {
  ASSERT_TRUE(push("registry.example/app:1").ok());
  std::size_t before = http_.lines().size();
  Status pushed = push("registry.example/app:1");
  ASSERT_TRUE(pushed.ok()) << pushed;
  EXPECT_EQ(http_.lines().size(), before + 1);
  EXPECT_EQ(http_.lines().back(), "HEAD https://registry.example/v2/app/manifests/1");
  // Something else by now: blobs are asked for.
  manifest_ = "{}";
  pushed = push("registry.example/app:1");
  ASSERT_TRUE(pushed.ok()) << pushed;
  EXPECT_EQ(http_.lines().back(), "PUT https://registry.example/v2/app/manifests/1");
  EXPECT_GE(http_.lines().size(), before + 1 + 13);
}

TEST_F(PushTest, SendsOnlyWhatIsNewAfterAChange) {
  ASSERT_TRUE(push("registry.example/app:1").ok());
  std::size_t before = http_.lines().size();
  result_.tree = with_file(result_.tree, "new", "new");
  Status pushed = push("registry.example/app:1");
  ASSERT_TRUE(pushed.ok()) << pushed;
  // What stands there; the layer and the config by three questions each; the manifest.
  EXPECT_EQ(http_.lines().size(), before + 1 + 2 * 3 + 1);
}

TEST_F(PushTest, SendsEverythingAgainWhenTheRegistryLostABlobMeanwhile) {
  ASSERT_TRUE(push("registry.example/app:1").ok());
  held_.erase(held_.begin());
  result_.tree = with_file(result_.tree, "new", "new");
  Status pushed = push("registry.example/app:1");
  ASSERT_TRUE(pushed.ok()) << pushed;
  EXPECT_EQ(http_.lines().back(), "PUT https://registry.example/v2/app/manifests/1");
  // What a push cannot mend is told.
  forgets_ = true;
  result_.tree = with_file(result_.tree, "newer", "newer");
  pushed = push("registry.example/app:1");
  EXPECT_NE(message_of(pushed).find("manifest_blob_unknown"), std::string::npos) << pushed;
}

TEST_F(PushTest, TellsWhatFailedAheadOfTheImage) {
  refuses_ = true;
  Status pushed = push("registry.example/app:1");
  EXPECT_EQ(pushed.code(), Code::kPermissionDenied) << pushed;
  EXPECT_NE(message_of(pushed).find("failed to push registry.example/app:1"), std::string::npos) << pushed;
  EXPECT_EQ(push("not a name!").code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace kiln::exporter
