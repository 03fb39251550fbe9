// Proves what the store promises, on real directories, blobs and a real database, with both
// snapshotters: trees survive a restart, lazy layers come to life, merges and differences stack,
// kept trees are handed to one at a time, and only what nobody holds is pruned.
#include "store/trees.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "base/id.h"
#include "content/blob_provider.h"
#include "content/blob_store_file.h"
#include "host/fs.h"

namespace kiln::store {
namespace {

using host::Fd;

class TreesTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    auto dir = host::TempDir::make("kiln-store-test-");
    ASSERT_TRUE(dir.ok());
    dir_ = std::move(*dir);
    auto blobs = content::FileBlobStore::open(dir_.path() + "/content");
    ASSERT_TRUE(blobs.ok()) << blobs.status();
    blobs_ = std::move(*blobs);
    trees_ = reopen(dir_.path() + "/store");
    if (!trees_) GTEST_SKIP() << "this snapshotter does not work here";
  }

  std::unique_ptr<Trees> reopen(const std::string& root) {
    TreesOptions options;
    options.root = root;
    options.blobs = blobs_.get();
    options.pool = &pool_;
    options.clock = &clock_;
    options.snapshotter = GetParam();
    options.on_removed = [this](const std::string& id) { removed_.push_back(id); };
    auto opened = Trees::open(std::move(options));
    if (!opened.ok()) return nullptr;
    return std::move(*opened);
  }

  TreeRef make(TreeRef parent, const std::string& name, const std::function<void(int)>& work) {
    auto tree = trees_->make_mutable(std::move(parent), {.description = name});
    EXPECT_TRUE(tree.ok()) << tree.status();
    {
      auto open = (*tree)->open();
      EXPECT_TRUE(open.ok()) << open.status();
      work(open->root.get());
    }
    auto done = (*tree)->commit();
    EXPECT_TRUE(done.ok()) << done.status();
    return *done;
  }
  TreeRef with_file(TreeRef parent, const std::string& path, const std::string& text = "text") {
    return make(std::move(parent), "write " + path, [&](int root) { put(root, path, text); });
  }
  static void put(int root, const std::string& path, const std::string& text) {
    auto file = host::open_in_root(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(host::write_all(file->get(), text).ok());
  }
  std::string get(const TreeRef& tree, const std::string& path) {
    auto open = trees_->open(tree);
    if (!open.ok()) return std::string(message_of(open.status()));
    auto file = host::open_in_root(open->root.get(), path, O_RDONLY);
    return file.ok() ? *host::read_to_end(file->get(), 1000) : "(none)";
  }
  std::vector<std::string> names(const TreeRef& tree) {
    auto open = trees_->open(tree);
    return open.ok() ? *host::list_dir(open->root.get()) : std::vector<std::string>{"(error)"};
  }
  std::vector<LayerBlob> layers(const TreeRef& tree, LayerOptions options = {}) {
    auto made = trees_->layers(tree, options, {});
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : std::vector<LayerBlob>();
  }

  host::TempDir dir_;
  Pool pool_;
  ManualClock clock_{Time(std::chrono::hours(500000))};
  std::unique_ptr<content::FileBlobStore> blobs_;
  std::vector<std::string> removed_;
  std::unique_ptr<Trees> trees_;
};

TEST_P(TreesTest, CommittedTreesSurviveARestartAndUnfinishedOnesAreSwept) {
  TreeRef base = with_file(nullptr, "one");
  TreeRef top = with_file(base, "two");
  std::string id = top->id();
  auto unfinished = trees_->make_mutable(base, {});
  ASSERT_TRUE(unfinished.ok());
  trees_->settle();  // the sweep of this start would take the directory for a left-over
  // A daemon that was killed: the directory stays.
  std::string left = dir_.path() + "/store/snapshots/" + GetParam() + "/leftover";
  ASSERT_TRUE(host::make_dirs(left + "/fs").ok());
  unfinished->reset();
  base.reset();
  top.reset();
  trees_ = nullptr;
  trees_ = reopen(dir_.path() + "/store");
  trees_->settle();
  EXPECT_FALSE(host::exists(left));
  auto found = trees_->find(id);
  ASSERT_TRUE(found.ok() && *found) << found.status();
  EXPECT_EQ(names(**found), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ((**found)->parent()->description(), "write one");
  EXPECT_FALSE(*trees_->find("no-such-record"));
}

TEST_P(TreesTest, BlobsThatNobodyNamesGoAfterARestartAndNewOnesStay) {
  auto write = [&](const char* bytes) { return content::write_blob(*blobs_, bytes, "text/plain")->digest; };
  auto set_time = [&](const Digest& blob, std::time_t seconds) {
    const timespec both[2] = {{seconds, 0}, {seconds, 0}};
    std::string path = dir_.path() + "/content/blobs/sha256/" + std::string(blob.hex());
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), both, 0), 0);
  };
  TreeRef tree = with_file(nullptr, "one");
  Digest of_tree = write("held by a tree"), of_owner = write("held by an export"), of_nobody = write("not recorded");
  for (const Digest& blob : {of_tree, of_owner, of_nobody}) set_time(blob, 1000);
  ASSERT_TRUE(trees_->hold_blob(tree, of_tree).ok());
  ASSERT_TRUE(trees_->hold_blob("export/killed", of_owner).ok());
  tree.reset();
  trees_ = nullptr;
  Digest fresh = write("about to be recorded");
  set_time(fresh, std::time(nullptr) + 3600);  // after the store was opened
  trees_ = reopen(dir_.path() + "/store");
  trees_->settle();
  EXPECT_TRUE(*blobs_->info(of_tree));
  EXPECT_TRUE(*blobs_->info(fresh));
  EXPECT_FALSE(*blobs_->info(of_owner));
  EXPECT_FALSE(*blobs_->info(of_nobody));
}

TEST_P(TreesTest, LayersOfOneStoreBecomeTheTreeOfAnother) {
  TreeRef base = with_file(nullptr, "one", "1");
  TreeRef top = make(base, "change", [&](int root) {
    put(root, "two", "2");
    ASSERT_EQ(::unlinkat(root, "one", 0), 0);
  });
  std::vector<LayerBlob> blobs = layers(top);
  ASSERT_EQ(blobs.size(), 2u);
  EXPECT_EQ(layers(top)[1].blob.digest, blobs[1].blob.digest);
  EXPECT_EQ(blobs[1].description, "change");

  auto other_blobs = content::FileBlobStore::open(dir_.path() + "/content2");
  ASSERT_TRUE(other_blobs.ok());
  TreesOptions options;
  options.root = dir_.path() + "/store2";
  options.blobs = other_blobs->get();
  options.pool = &pool_;
  options.snapshotter = GetParam();
  auto other = Trees::open(options);
  ASSERT_TRUE(other.ok());
  TreeRef lazy;
  for (const LayerBlob& layer : blobs) {
    auto next = (*other)->from_blob(lazy, {layer.blob, layer.diff_id, trees_->provider_for(layer), nullptr}, {});
    ASSERT_TRUE(next.ok()) << next.status();
    lazy = *next;
  }
  auto again = (*other)->from_blob(lazy->parent(),
                                   {blobs[1].blob, blobs[1].diff_id, trees_->provider_for(blobs[1]), nullptr}, {});
  EXPECT_EQ(*again, lazy);
  EXPECT_FALSE((*(*other)->existing_layers(lazy))->front().provider == nullptr);
  auto open = (*other)->open(lazy);
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(*host::list_dir(open->root.get()), (std::vector<std::string>{"two"}));
  EXPECT_TRUE(*(*other_blobs)->info(blobs[0].blob.digest));
  EXPECT_EQ(*(*other)->digest(lazy, "/", {}), *trees_->digest(top, "/", {}));
}

// Bytes that break off, however far into the layer, are told in the words of whoever gave them; a layer that
// came from elsewhere is packed anew as one of ours is.
TEST_P(TreesTest, ALayerFromElsewhereBreaksOffOrIsPackedAnew) {
  class Cut final : public content::BlobProvider {
   public:
    Cut(std::string bytes, std::size_t at) : bytes_(std::move(bytes)), at_(at) {}
    Result<std::unique_ptr<ByteSource>> open(const content::Descriptor&, std::int64_t, std::stop_token) override {
      struct Source final : ByteSource {
        Source(const std::string& bytes, std::size_t at) : bytes(bytes), at(at) {}
        Result<std::size_t> read(std::span<char> buffer) override {
          if (done == at && at < bytes.size()) return peer_error(Code::kUnavailable, "the line is down");
          const std::size_t n = bytes.copy(buffer.data(), std::min(buffer.size(), at - done), done);
          return done += n, n;
        }
        const std::string& bytes;
        std::size_t at, done = 0;
      };
      return std::make_unique<Source>(bytes_, at_);
    }
    std::string bytes_;
    std::size_t at_;
  };
  const TreeRef tree = with_file(nullptr, "big", random_bytes(3 << 20));
  const LayerBlob layer = layers(tree)[0];
  const LayerOptions zstd{.compression = {.type = layer::Compression::kZstd}, .force_compression = true};
  const LayerBlob packed = layers(tree, zstd)[0];
  const std::string bytes = *content::read_blob(*trees_->provider_for(layer), layer.blob, {});
  std::string damaged = bytes;
  damaged.back() ^= 1;
  for (std::size_t at : {std::size_t{0}, std::size_t{100}, std::size_t{700'000}, bytes.size() - 1, bytes.size()}) {
    auto blobs = *content::FileBlobStore::open(fmt::format("{}/content-{}", dir_.path(), at));
    TreesOptions options;
    options.root = fmt::format("{}/store-{}", dir_.path(), at);
    options.blobs = blobs.get();
    options.snapshotter = GetParam();
    auto other = *Trees::open(options);
    TreeRef lazy =
        *other->from_blob(nullptr, {layer.blob, layer.diff_id, std::make_shared<Cut>(bytes, at), nullptr}, {});
    auto open = other->open(lazy);
    auto anew = other->layers(lazy, zstd, {});
    if (at == bytes.size()) {
      ASSERT_TRUE(open.ok()) << open.status();
      ASSERT_TRUE(anew.ok()) << anew.status();
      EXPECT_EQ(anew->front().blob.digest, packed.blob.digest);
      EXPECT_EQ(anew->front().diff_id, layer.diff_id);
    } else {
      // Whoever passes it on is told whose bytes they are, and of damage before the last of them.
      LayerBlob far = (*other->existing_layers(lazy))->front();
      for (bool damage : {false, true}) {
        if (damage) far.provider = std::make_shared<Cut>(damaged, bytes.size());
        StringSink passed_on;
        Status moved = copy_stream(**other->provider_for(far)->open(layer.blob, 0, {}), passed_on).status();
        EXPECT_EQ(get_detail(moved, kLostTreeDetail), lazy->id()) << moved;
        EXPECT_LT(passed_on.text().size(), bytes.size());
      }
      EXPECT_NE(message_of(open.status()).find("the line is down"), std::string::npos) << open.status();
      EXPECT_NE(message_of(anew.status()).find("the line is down"), std::string::npos) << anew.status();
      EXPECT_FALSE(*blobs->info(layer.blob.digest));
    }
  }
}

TEST_P(TreesTest, WrongBytesNeverBecomeATree) {
  class Liar final : public content::BlobProvider {
    Result<std::unique_ptr<ByteSource>> open(const content::Descriptor&, std::int64_t, std::stop_token) override {
      return std::make_unique<StringSource>(std::string(1024, '\0'));
    }
  };
  content::Descriptor blob;
  blob.media_type = content::kOciLayer;
  blob.digest = Digest::of("something else");
  blob.size = 1024;
  auto tree = trees_->from_blob(nullptr, {blob, Digest::of("what it holds"), std::make_shared<Liar>(), nullptr}, {});
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(trees_->open(*tree).status().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(*blobs_->info(blob.digest));
}

TEST_P(TreesTest, CompressionIsMadeWhenAskedAndKeptOtherwise) {
  TreeRef tree = with_file(nullptr, "one", std::string(5000, 'x'));
  auto gzip = layers(tree);
  LayerOptions zstd;
  zstd.compression.type = layer::Compression::kZstd;
  EXPECT_EQ(layers(tree, zstd)[0].blob.digest, gzip[0].blob.digest);
  zstd.force_compression = true;
  auto forced = layers(tree, zstd);
  EXPECT_EQ(forced[0].blob.media_type, content::kOciLayerZstd);
  EXPECT_EQ(forced[0].diff_id, gzip[0].diff_id);
  EXPECT_EQ(layers(tree)[0].blob.digest, gzip[0].blob.digest);
}

TEST_P(TreesTest, MergeStacksAndDiffTakesApart) {
  TreeRef base = with_file(nullptr, "base");
  TreeRef a = with_file(base, "a");
  TreeRef b = make(base, "b", [&](int root) {
    put(root, "b", "b");
    ASSERT_EQ(::unlinkat(root, "base", 0), 0);
  });
  TreeRef merged = *trees_->merge({a, nullptr, b}, {});
  EXPECT_EQ(names(merged), (std::vector<std::string>{"a", "b"}));
  TreeRef only_a = *trees_->diff(base, a, {});
  EXPECT_EQ(names(only_a), (std::vector<std::string>{"a"}));
  TreeRef both = *trees_->merge({b, only_a}, {});
  EXPECT_EQ(names(both), (std::vector<std::string>{"a", "b"}));
  // Trees without common history.
  TreeRef other = with_file(nullptr, "other");
  TreeRef computed = *trees_->diff(base, other, {});
  EXPECT_EQ(names(computed), (std::vector<std::string>{"other"}));
  EXPECT_EQ(names(*trees_->merge({a, computed}, {})), (std::vector<std::string>{"a", "other"}));
  EXPECT_EQ(*trees_->diff(base, base, {}), nullptr);
  EXPECT_EQ(*trees_->merge({nullptr, a}, {}), a);
  if (std::string_view(GetParam()) == "overlayfs") {
    EXPECT_EQ(layers(only_a)[0].blob.digest, layers(a)[1].blob.digest);
    EXPECT_EQ(layers(computed).size(), 1u);
  }
  TreeRef on_top = with_file(merged, "top");
  EXPECT_EQ(names(on_top), (std::vector<std::string>{"a", "b", "top"}));
}

// What a directory made anew, or a file moved away and back, leaves in a layer must not reach what other
// trees brought to the same places.
TEST_P(TreesTest, ALayerHidesAndUndoesNothingOnTreesItWasNotMadeOn) {
  TreeRef base = make(nullptr, "base", [&](int root) {
    ASSERT_EQ(::mkdirat(root, "dir", 0755), 0);
    put(root, "dir/old", "old");
    put(root, "same", "base");
  });
  TreeRef layer = make(base, "layer", [&](int root) {
    ASSERT_EQ(::unlinkat(root, "dir/old", 0), 0);
    ASSERT_EQ(::unlinkat(root, "dir", AT_REMOVEDIR), 0);
    ASSERT_EQ(::mkdirat(root, "dir", 0755), 0);
    put(root, "dir/new", "new");
    ASSERT_EQ(::renameat(root, "same", root, "away"), 0);
    ASSERT_EQ(::renameat(root, "away", root, "same"), 0);
  });
  EXPECT_EQ(get(layer, "dir/old"), "(none)");
  TreeRef other = make(nullptr, "other", [&](int root) {
    ASSERT_EQ(::mkdirat(root, "dir", 0755), 0);
    put(root, "dir/old", "other");
    put(root, "dir/kept", "kept");
    put(root, "same", "other");
  });
  TreeRef change = *trees_->diff(base, layer, {});
  for (const TreeRef& merged :
       {*trees_->merge({other, change}, {}), *trees_->merge({other, *trees_->diff(base, layer, {})}, {})}) {
    EXPECT_EQ(get(merged, "dir/kept"), "kept");
    EXPECT_EQ(get(merged, "dir/old"), "(none)");
    EXPECT_EQ(get(merged, "dir/new"), "new");
    EXPECT_EQ(get(merged, "same"), "other");
  }
  TreeRef whole = *trees_->merge({other, layer}, {});
  EXPECT_EQ(get(whole, "dir/kept"), "kept");
  EXPECT_EQ(get(whole, "dir/old"), "(none)");
  EXPECT_EQ(get(whole, "same"), "base");
  EXPECT_EQ(names(change), (std::vector<std::string>{"dir"}));
  EXPECT_EQ(get(*trees_->merge({layer, nullptr}, {}), "dir/new"), "new");
}

TEST_P(TreesTest, KeptTreesAreTakenByOneAtATimeAndSurvive) {
  auto made = trees_->make_mutable(nullptr, {.description = "cache", .type = RecordType::kCacheMount});
  ASSERT_TRUE((*made)->keep("cache:/root/.cache").ok());
  ASSERT_TRUE((*made)->set_attribute("etag", "42").ok());
  std::string id = (*made)->id();
  EXPECT_EQ(*trees_->take("cache:/root/.cache"), nullptr);
  {
    auto open = (*made)->open();
    put(open->root.get(), "kept", "k");
  }
  made->reset();
  trees_ = nullptr;
  trees_ = reopen(dir_.path() + "/store");
  trees_->settle();
  auto again = trees_->take("cache:/root/.cache");
  ASSERT_TRUE(again.ok() && *again);
  EXPECT_EQ((*again)->id(), id);
  EXPECT_EQ((*again)->attribute("etag"), "42");

  TreeRef shown = *(*again)->freeze({.type = RecordType::kLocalSource});
  again->reset();
  EXPECT_EQ(get(shown, "kept"), "k");
  EXPECT_EQ(*trees_->take("cache:/root/.cache"), nullptr) << "somebody looks at it";
  std::string shown_id = shown->id();
  shown.reset();
  auto third = trees_->take("cache:/root/.cache");
  ASSERT_TRUE(third.ok() && *third);
  EXPECT_FALSE(*trees_->find(shown_id));
  EXPECT_EQ(removed_, (std::vector<std::string>{shown_id}));
  (*third)->discard();
  third->reset();
  EXPECT_EQ(*trees_->count_kept("cache:/root/.cache"), 0);
}

TEST_P(TreesTest, BuildingOnAFrozenTreeMakesItStay) {
  auto made = trees_->make_mutable(nullptr, {});
  ASSERT_TRUE((*made)->keep("context").ok());
  TreeRef shown = *(*made)->freeze({});
  made->reset();
  TreeRef top = with_file(shown, "more");
  shown.reset();
  EXPECT_EQ(*trees_->take("context"), nullptr);
  std::string id = top->id();
  top.reset();
  EXPECT_TRUE(*trees_->find(id));
}

TEST_P(TreesTest, SeededDigestsNeedNoReading) {
  auto made = trees_->make_mutable(nullptr, {});
  ASSERT_TRUE((*made)->keep("context").ok());
  {
    auto open = (*made)->open();
    put(open->root.get(), "f", "on disk");
  }
  FileFacts facts{.mode = S_IFREG | 0644, .size = 9};
  FileDigester digester(facts);
  digester.update("announced");
  Digest announced = digester.finish();
  (*made)->seed_digest("f", facts, announced);
  TreeRef tree = *(*made)->freeze({});
  made->reset();
  EXPECT_EQ(*trees_->digest(tree, "/f", {}), announced);
  EXPECT_EQ(trees_->digest(tree, "/g", {}).status().code(), Code::kNotFound);
  tree.reset();
  trees_->settle();
  trees_ = nullptr;
  trees_ = reopen(dir_.path() + "/store");
  auto again = trees_->take("context");
  ASSERT_TRUE(again.ok() && *again);
  tree = *(*again)->freeze({});
  EXPECT_EQ(*trees_->digest(tree, "/f", {}), announced);
}

TEST_P(TreesTest, DigestsThatAreBeingSavedSurviveTheSweep) {
  trees_ = nullptr;
  const std::string saving = dir_.path() + "/store/digests/tree.new", left = dir_.path() + "/store/digests/tree.old";
  for (const auto& [path, seconds] : {std::pair{saving, std::time(nullptr) + 3600}, {left, std::time_t{1000}}}) {
    ASSERT_TRUE(host::replace_file(path, "digests", 0600).ok());
    const timespec both[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), both, 0), 0);
  }
  trees_ = reopen(dir_.path() + "/store");
  trees_->settle();
  EXPECT_TRUE(host::exists(saving));
  EXPECT_FALSE(host::exists(left));
}

TEST_P(TreesTest, PruneTakesWhatNobodyHoldsLeavesFirst) {
  TreeRef base = with_file(nullptr, "base", std::string(10000, 'b'));
  TreeRef top = with_file(base, "top", std::string(20000, 't'));
  TreeRef held = with_file(base, "held");
  std::string top_id = top->id(), base_id = base->id(), held_id = held->id();
  top.reset();
  base.reset();
  auto du = trees_->du({}, {});
  ASSERT_TRUE(du.ok()) << du.status();
  ASSERT_EQ(du->size(), 3u);
  EXPECT_TRUE((*du)[0].in_use) << "a child of it is held";
  EXPECT_FALSE((*du)[1].in_use);
  EXPECT_GE((*du)[1].size, 20000);
  EXPECT_EQ((*du)[1].parents, (std::vector<std::string>{base_id}));
  EXPECT_EQ(trees_->du({"inuse"}, {})->size(), 2u);
  EXPECT_EQ(trees_->du({"description~=\"write h\"", "id==" + top_id}, {})->size(), 2u);
  std::vector<std::string> told;
  auto report = trees_->prune({PruneOptions{}}, {}, [&](const Usage& u) { told.push_back(u.id); });
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(told, (std::vector<std::string>{top_id}));
  EXPECT_EQ(report->bytes, (*du)[1].size);
  held.reset();
  report = trees_->prune({PruneOptions{}}, {});
  EXPECT_EQ(report->records, 2);
  EXPECT_EQ(removed_, (std::vector<std::string>{top_id, held_id, base_id}));
  auto present = host::list_dir(dir_.path() + "/store/snapshots/" + GetParam());
  for (const std::string& left : *present) {
    EXPECT_TRUE(left == "empty" || left == "probed") << left;
  }
}

TEST_P(TreesTest, PruneKeepsWhatTheLimitsAllow) {
  for (int i = 0; i < 4; ++i) {
    clock_.advance(std::chrono::hours(1));
    (void)with_file(nullptr, "f", std::string(100000, 'x'));
  }
  PruneOptions rule;
  rule.max_used_space = 250000;
  auto report = trees_->prune({rule}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->records, 2);
  rule = {};
  rule.keep_duration = std::chrono::minutes(90);
  EXPECT_EQ(trees_->prune({rule}, {})->records, 0) << "the oldest went before";
  clock_.advance(std::chrono::hours(2));
  EXPECT_EQ(trees_->prune({rule}, {})->records, 2);
}

TEST_P(TreesTest, BlobsGoWithTheLastWhoNamesThem) {
  TreeRef tree = with_file(nullptr, "one");
  Digest layer = layers(tree)[0].blob.digest;
  Digest config = content::write_blob(*blobs_, "{}", content::kOciConfig)->digest;
  ASSERT_TRUE(trees_->hold_blob(tree, config).ok());
  ASSERT_TRUE(trees_->hold_blob("history/1", layer).ok());
  tree.reset();
  ASSERT_EQ(trees_->prune({PruneOptions{.all = true}}, {})->records, 1);
  EXPECT_FALSE(*blobs_->info(config));
  EXPECT_TRUE(*blobs_->info(layer));
  ASSERT_TRUE(trees_->release_blobs("history/1").ok());
  EXPECT_FALSE(*blobs_->info(layer));
}

TEST_P(TreesTest, AVeryDeepChainIsMadeLetGoAndLoadedAgain) {
  if (std::string_view(GetParam()) != "overlayfs") GTEST_SKIP() << "nothing here looks at directories";
  auto blob = content::write_blob(*blobs_, "bytes of a layer", "application/vnd.oci.image.layer.v1.tar");
  ASSERT_TRUE(blob.ok()) << blob.status();
  const LayerSource layer{*blob, blob->digest, nullptr, nullptr};
  TreeRef top;
  constexpr int kDepth = 20000;
  for (int i = 0; i < kDepth; ++i) {
    auto next = trees_->from_blob(top, layer, {});
    ASSERT_TRUE(next.ok()) << next.status();
    top = *next;
  }
  const std::string id = top->id();
  top.reset();
  auto again = trees_->find(id);
  ASSERT_TRUE(again.ok() && *again) << again.status();
  int depth = 0;
  for (const Tree* at = (**again).get(); at != nullptr; at = at->parent().get()) ++depth;
  EXPECT_EQ(depth, kDepth);
}

// Between finding what a new record is to name and writing it, from_blob asks for the time once: that is where
// these tests let a prune strike.
class TreesAndPrune : public TreesTest {
 protected:
  class StrikingClock final : public Clock {
   public:
    Time now() const override {
      if (auto strike = std::exchange(strike_, {})) strike();
      return Time(std::chrono::hours(500000));
    }
    mutable std::function<void()> strike_;
  };
  void SetUp() override {
    TreesTest::SetUp();
    if (!trees_) return;
    trees_ = nullptr;
    TreesOptions options;
    options.root = dir_.path() + "/store";
    options.blobs = blobs_.get();
    options.clock = &striking_;
    options.snapshotter = GetParam();
    trees_ = *Trees::open(std::move(options));
  }
  // The layer without what holds the tree.
  LayerSource source_of(const TreeRef& tree) {
    const LayerBlob made = layers(tree)[0];
    return {made.blob, made.diff_id, nullptr, nullptr};
  }
  Result<PruneReport> prune_all() { return trees_->prune({PruneOptions{.all = true}}, {}); }
  StrikingClock striking_;
};

TEST_P(TreesAndPrune, ADirectoryThatAnEqualLayerIsFoundToHaveStays) {
  TreeRef tree = with_file(nullptr, "one");
  LayerSource other = source_of(tree);
  other.blob.digest = Digest::of("the same layer in other bytes");
  other.provider = std::make_shared<content::StoreProvider>(*blobs_);
  tree.reset();
  striking_.strike_ = [&] { ASSERT_TRUE(prune_all().ok()); };
  auto same = trees_->from_blob(nullptr, other, {});
  ASSERT_TRUE(same.ok()) << same.status();
  ASSERT_FALSE(striking_.strike_) << "the prune did not strike";
  EXPECT_EQ(get(*same, "one"), "text");
}

TEST_P(TreesAndPrune, ABlobThatIsFoundToBeHereStays) {
  TreeRef below = with_file(nullptr, "below");
  (void)layers(below);
  TreeRef tree = with_file(nullptr, "one");
  const LayerSource layer = source_of(tree);
  const std::string directory = dir_.path() + "/store/snapshots/" + GetParam() + "/" + tree->id();
  ASSERT_TRUE(host::exists(directory));
  tree.reset();
  std::promise<Result<PruneReport>> pruned;
  auto report = pruned.get_future();
  striking_.strike_ = [&] {
    pool_.submit([&] { pruned.set_value(prune_all()); });
    // It removes the directory, and then waits for us or takes the blob.
    while (host::exists(directory)) std::this_thread::yield();
    (void)report.wait_for(std::chrono::milliseconds(100));
  };
  auto moved = trees_->from_blob(below, layer, {});
  ASSERT_TRUE(moved.ok()) << moved.status();
  ASSERT_EQ(report.get()->records, 1);
  EXPECT_EQ(names(*moved), (std::vector<std::string>{"below", "one"}));
}

INSTANTIATE_TEST_SUITE_P(Both, TreesAndPrune, testing::Values("overlayfs", "native"));
INSTANTIATE_TEST_SUITE_P(Both, TreesTest, testing::Values("overlayfs", "native"));

TEST(GcPolicy, ArithmeticOfTheLimits) {
  host::DiskSpace disk{.total = 1000, .free = 100};
  EXPECT_EQ(bytes_to_keep({}, 500, disk), 0);
  EXPECT_EQ(bytes_to_keep({.max_used_space = 300}, 500, disk), 300);
  EXPECT_EQ(bytes_to_keep({.max_used_space = 300, .min_free_space = 400}, 500, disk), 200);
  EXPECT_EQ(bytes_to_keep({.reserved_space = 250, .max_used_space = 300, .min_free_space = 400}, 500, disk), 250);
  EXPECT_EQ(bytes_to_keep({.min_free_space = 50}, 500, disk), 500);
  EXPECT_EQ(parse_space_limit("512MB")->bytes, 512 << 20);
  EXPECT_EQ(parse_space_limit("20%")->percent, 20);
  EXPECT_FALSE(parse_space_limit("many").ok());
  disk.total = 1'000'000'000'000;
  auto policy = default_gc_policy({}, disk);
  ASSERT_EQ(policy.size(), 4u);
  EXPECT_EQ(policy[0].max_used_space, 512'000'000);
  EXPECT_EQ(policy[2].reserved_space, 10'000'000'000);
  EXPECT_EQ(policy[2].max_used_space, 100'000'000'000);
  EXPECT_EQ(policy[2].min_free_space, 187'000'000'000);
  EXPECT_TRUE(policy[3].all);
}

}  // namespace
}  // namespace kiln::store
