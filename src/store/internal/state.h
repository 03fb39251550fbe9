// The inside of Trees: what all its files share. One file a concern:
//   trees.cc making and finding · mutable_tree.cc writing · materialize.cc from record to directory ·
//   tree_layers.cc from directory to blob · tree_checksum.cc content digests · usage.cc, prune.cc
//   accounting · sweep.cc leftovers
//
// Locks, taken in this order and never the other way: TreesState::mutex, Tree::Body::mutex, the
// database. No lock is held while bytes are moved; whoever makes something long marks the body busy
// and others wait for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "db/grouped_writer.h"
#include "snapshot/snapshotter.h"
#include "store/internal/digest_index.h"
#include "store/internal/parallel.h"
#include "store/internal/records.h"
#include "store/trees.h"

namespace kiln::store {

struct Tree::Body {
  std::mutex mutex;
  std::condition_variable_any changed;
  bool busy = false;     // somebody makes the snapshot or a blob
  std::string snapshot;  // "" while not on disk
  std::string twin;      // see Record
  Digest diff_id, chain_id, blob_chain_id;
  std::vector<BlobVariant> blobs;
  std::shared_ptr<content::BlobProvider> provider;
  std::shared_ptr<event::Reporter> reporter;
  std::shared_ptr<DigestIndex> digests;
  std::atomic<bool> used = false;  // handed out by find or made: counts when let go
};

struct MutableTree::Body {
  std::shared_ptr<TreesState> owner;
  snapshot::Chain chain;
  TreeOptions options;
  bool kept = false;   // has a record
  bool spent = false;  // committed, frozen or discarded
  Time created{};
  std::shared_ptr<DigestIndex> digests;
};

struct TreesState : std::enable_shared_from_this<TreesState> {
  ~TreesState();

  TreesOptions options;
  Clock* clock = nullptr;
  std::unique_ptr<snapshot::Snapshotter> snapshotter;
  std::unique_ptr<Records> records;
  std::unique_ptr<db::GroupedWriter> later;  // use counts

  std::mutex mutex;
  std::unordered_map<std::string, std::weak_ptr<const Tree>> live;
  struct Writing {  // mutable trees in somebody's hands
    bool kept = false;
    Time created{};
    std::string parent;
    TreeOptions options;
  };
  std::map<std::string, Writing> writing;
  std::set<std::string> encoded_here;  // layers whose blobs this process made of their files
  std::set<std::string> making;        // snapshots being filled that have no record yet
  std::mutex prune_mutex;              // one prune at a time
  std::mutex from_blob_mutex;          // looking for a blob and naming it is one act
  int background = 0;                  // pieces of work on the pool
  std::condition_variable swept;
  std::stop_source closing;
  Time opened{};  // a little before, since files' times are coarse

  // Layers being compressed: each by all processors already, and each with megabytes under way.
  std::mutex encoding_mutex;
  std::condition_variable_any encoded;
  int encoding = 0;

  // Digest indexes of trees lately asked, newest first.
  std::mutex digests_mutex;
  std::list<std::pair<std::string, std::shared_ptr<DigestIndex>>> digests;
  FileMemo file_memo;

  // -- trees.cc
  // The tree of a record; null TreeRef inside the optional never occurs.
  Result<std::optional<TreeRef>> load(std::string_view id);
  Result<TreeRef> load_parent(const std::string& id);
  TreeRef find_live(const std::string& id);
  // The parents of the record are live, or few.
  Result<std::optional<TreeRef>> make_live(Record record);
  // Registers a new tree and writes its record.
  Result<TreeRef> add(Record record, TreeRef parent, std::vector<TreeRef> inputs, std::unique_ptr<Tree::Body> body);
  void let_go(Tree& tree);
  // A frozen tree that something is built upon stays for good: its kept twin lets go of the directory.
  Status settle_twin(const TreeRef& tree);
  // Whether mounting is possible with what is here and within reach.
  static bool within_reach(const TreeRef& tree);
  std::int64_t now_ns() const { return clock->now().time_since_epoch().count(); }
  // mutable_tree.cc; the id is in `writing` already. Null when it is in use as a frozen tree.
  Result<MutableRef> take_kept(const std::string& id);
  static Tree::Body& body(const TreeRef& tree) { return *tree->body_; }

  // -- loose.cc: layers in places that they were not made for
  // Something that may be stacked on anything and does what the unit did to its parent.
  Result<TreeRef> loose(const TreeRef& unit, std::stop_token stop);
  // Whether the unit lies in a place it was made for, or does no harm where it is.
  Result<bool> may_lie_on(const TreeRef& unit, const std::vector<TreeRef>& below, std::stop_token stop);
  Result<std::optional<TreeRef>> rewritten(const TreeRef& unit, std::stop_token stop);
  Result<TreeRef> add_list(TreeKind kind, std::vector<TreeRef> inputs, TreeOptions options);

  // -- materialize.cc
  // The layers and computed differences a tree is made of, lowest first; merges are flattened, a
  // layer that occurs twice stays where it is uppermost.
  static std::vector<TreeRef> units_of(const TreeRef& tree);
  // Whether it has a snapshot of its own.
  static bool is_written(const TreeRef& tree);
  // The units of upper above those of lower; nothing when lower is not where upper begins.
  static std::optional<std::vector<TreeRef>> units_above(const TreeRef& lower, const TreeRef& upper);
  // The chain to mount, if the tree is a plain stack of layers with snapshots, as nearly all are.
  static std::optional<snapshot::Chain> written_chain(const TreeRef& tree);
  // Makes every unit a snapshot, in parallel; gives the chain to mount.
  Result<snapshot::Chain> materialize(const TreeRef& tree, std::stop_token stop);
  Result<OpenTree> open_chain(const snapshot::Chain& chain, TreeRef held);
  Result<OpenTree> open(const TreeRef& tree, std::stop_token stop);
  Status ensure_snapshot(const TreeRef& unit, std::stop_token stop);
  Status unpack(const TreeRef& unit, const snapshot::Chain& below, std::stop_token stop);
  Status compute_difference(const TreeRef& diff, std::stop_token stop);
  Status compute_merge(const TreeRef& merge, std::stop_token stop);
  Status publish_snapshot(const TreeRef& unit, const std::string& id);

  // -- tree_layers.cc
  Result<LayerBlob> layer_of(const TreeRef& unit, const LayerOptions& options, std::stop_token stop);
  Result<BlobVariant> encode(const TreeRef& unit, const LayerOptions& options, const std::string& variant,
                             std::stop_token stop);
  Result<BlobVariant> convert(const TreeRef& unit, const BlobVariant& from, const LayerOptions& options,
                              const std::string& variant, std::stop_token stop);
  Result<BlobVariant> in_another_way(const TreeRef& unit, const BlobVariant& from, const LayerOptions& options,
                                     const std::string& variant, std::stop_token stop);
  // The error of whoever wanted the layer's bytes, saying which layer it was.
  static Status lost(const TreeRef& unit, Status status);
  Status add_blob(const TreeRef& unit, const BlobVariant& made);
  Status fetch_blob(const TreeRef& unit, std::stop_token stop);
  // Chain ids of a layer, once its diff id and its parent's chain are known.
  void note_chain(const TreeRef& unit);
  void drop_blobs(const std::vector<std::string>& digests);

  // -- tree_checksum.cc
  std::shared_ptr<DigestIndex> digest_index(const std::string& key);
  std::shared_ptr<DigestIndex> digest_index_of(const TreeRef& tree);
  void keep_digests(const std::string& key, std::shared_ptr<DigestIndex> index);
  void forget_digests(const std::string& key);
  static std::uint64_t digests_instance(MutableTree& tree);
  void save_digests(const std::string& key, std::shared_ptr<DigestIndex> index);

  // -- prune.cc, sweep.cc
  // Removes a record with what only it had. Callers made sure nobody holds it.
  Status remove_record(const std::string& id);
  // The same for an immutable one, unless somebody holds it or it has children. Tells whether it went.
  Result<bool> remove_unheld(const std::string& id);
  void drop_leftovers(const std::string& id, const Records::Leftovers& left);
  void sweep();
  void sweep_blobs();
  // Runs on the pool; Trees waits for it when it closes.
  void in_background(std::function<void()> work);
};

// Of a layer on a parent chain (OCI image-spec config.md, layer ChainID); also of blobs on blobs.
Digest chain_id(const Digest& parent, const Digest& own);

// Holds a body as busy: waits until nobody else is, or gives Cancelled.
class BusyBody {
 public:
  static Result<BusyBody> take(const TreeRef& tree, std::stop_token stop);
  ~BusyBody();
  BusyBody(BusyBody&& other) noexcept : tree_(std::move(other.tree_)) {}
  BusyBody& operator=(BusyBody&&) = delete;

 private:
  explicit BusyBody(TreeRef tree) : tree_(std::move(tree)) {}
  TreeRef tree_;
};

}  // namespace kiln::store
