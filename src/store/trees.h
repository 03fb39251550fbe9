// All trees that we hold: made, found, mounted, turned into layers, counted, pruned. Owner of the
// records (a SQLite file of its own), of the snapshots and of the layer blobs
// that belong to records.
//
//   KILN_ASSIGN_OR_RETURN(auto trees, Trees::open({.root = dir, .blobs = &blobs, .pool = &pool}));
//   KILN_ASSIGN_OR_RETURN(TreeRef base, trees->from_blob(nullptr, layer, {}));
//   KILN_ASSIGN_OR_RETURN(MutableRef work, trees->make_mutable(base, {.description = "RUN make"}));
//   KILN_ASSIGN_OR_RETURN(auto spec, work->mount());  … run …
//   KILN_ASSIGN_OR_RETURN(TreeRef done, work->commit());
//
// Disk format: docs/formats/store.md. A killed daemon loses only what was being written; leftovers
// are swept in the background after open.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/pool.h"
#include "base/status.h"
#include "content/blob_store.h"
#include "event/event.h"
#include "event/miss.h"
#include "layer/compression.h"
#include "store/gc.h"
#include "store/tree.h"
#include "store/tree_digest.h"

namespace kiln::snapshot {
class Snapshotter;
}

namespace kiln::store {

struct TreesOptions {
  std::string root;                     // for snapshots and records (trees.db); made when missing
  content::BlobStore* blobs = nullptr;  // these three outlive Trees
  Pool* pool = nullptr;
  Clock* clock = nullptr;            // null: the system's
  std::string snapshotter = "auto";  // "auto", "overlayfs", "native"
  // Told after a record went away (pruned, replaced, discarded), so that cache records that name it
  // can be forgotten. Called from any thread, without locks held.
  std::function<void(const std::string& id)> on_removed;
  // Whether someone outside (an image exported to a store of images) still wants the record; pruning
  // without `all` leaves such "shared" records. Null: none is.
  std::function<bool(const std::string& id, const std::vector<Digest>& layers)> shared;
  std::uint64_t layer_bytes_max = 0;  // that one layer or archive may unpack to; 0: any number
};

struct LayerOptions {
  layer::CompressionOptions compression;
  // Convert layers that exist in another compression; otherwise they are taken as they are.
  bool force_compression = false;
  // Fetch blobs that only a provider has.
  bool fetch = false;
  std::optional<Time> clamp_mtime;   // SOURCE_DATE_EPOCH with rewrite-timestamp: later mtimes become this
  std::vector<Digest> clamp_except;  // diff ids of layers that stay as they are (those of the base image)
  // Hears of each layer as soon as it is there, while others are still made; from several threads, and waited for.
  std::function<void(const LayerBlob&)> told;
};

// Any thread.
class Trees {
 public:
  // Fast at any number of records: they are read when asked for. Sweeps leftovers on the pool.
  static Result<std::unique_ptr<Trees>> open(TreesOptions options);
  // Stops background work. TreeRefs must be gone.
  ~Trees();
  Trees(const Trees&) = delete;
  Trees& operator=(const Trees&) = delete;

  // -- finding ------------------------------------------------------------------------------------
  // nullopt when there is no such record, or one whose bytes are nowhere within reach (a lazy layer
  // after a restart). Counts as a use.
  Result<std::optional<TreeRef>> find(std::string_view id);
  // Immutable trees whose attribute was set with this index key, newest first.
  Result<std::vector<std::string>> find_by_index(std::string_view index_key);

  // -- making -------------------------------------------------------------------------------------
  // Unlazies the parent when needed: blocking, cancellable.
  Result<MutableRef> make_mutable(TreeRef parent, TreeOptions options, std::stop_token stop = {});
  // The tree of an image layer on a parent. The same blob on the same parent is the same record, and
  // the same contents in another compression share the snapshot. Never downloads. A provider given
  // for a record that has none is remembered. NotFound when there is neither blob nor provider.
  Result<TreeRef> from_blob(TreeRef parent, LayerSource layer, TreeOptions options);
  // Scratch inputs are left out, merges flattened; one input is itself, none is scratch.
  // A layer that comes to lie on something else than it was made on, and would hide or undo what is
  // there, is written anew first (hard links): blocking then.
  Result<TreeRef> merge(std::vector<TreeRef> inputs, TreeOptions options, std::stop_token stop = {});
  // When lower is an ancestor of upper the layers between are used as they are, or written anew as
  // for a merge. Scratch lower: upper.
  Result<TreeRef> diff(TreeRef lower, TreeRef upper, TreeOptions options, std::stop_token stop = {});

  // -- kept trees (cache mounts, local contexts, git repositories) --------------------------------
  // Takes the newest kept tree with that key that nobody uses; null when there is none free.
  Result<MutableRef> take(std::string_view index_key);
  // How many kept trees have the key, in use or not.
  Result<int> count_kept(std::string_view index_key);

  // -- using --------------------------------------------------------------------------------------
  // How to mount it for reading. Downloads, unpacks, computes first when that is due: blocking,
  // cancellable; progress to the layers' reporters.
  Result<host::MountSpec> mount(const TreeRef& tree, std::stop_token stop = {});
  // Opens it for reading by ourselves; no mount for a tree that is one directory.
  Result<OpenTree> open(const TreeRef& tree, std::stop_token stop = {});
  // Makes all layers that are only remote local (blobs and snapshots), in parallel.
  Status fetch(const TreeRef& tree, std::stop_token stop);
  // Content digest as BuildKit computes it. NotFound names the path.
  Result<Digest> digest(const TreeRef& tree, std::string_view path, const ChecksumOptions& options,
                        std::stop_token stop = {});

  // The entries that such a digest was made of, by path, for saying later what changed: nothing is
  // read from disk that digest() did not read. Where there are more than `entries_max`, directories
  // further down stand for what they hold, or the list ends early.
  Result<std::vector<event::FileSum>> files_of(const TreeRef& tree, std::string_view path,
                                               const ChecksumOptions& options, std::size_t entries_max,
                                               std::stop_token stop = {});

  // The layers, lowest first; makes blobs that do not exist yet, in parallel. Empty for scratch.
  Result<std::vector<LayerBlob>> layers(const TreeRef& tree, const LayerOptions& options, std::stop_token stop,
                                        event::Reporter* reporter = nullptr);
  // The blobs that exist already, without making any; nullopt when one is missing.
  Result<std::optional<std::vector<LayerBlob>>> existing_layers(const TreeRef& tree);
  // Everything the layers do: the bytes, wherever they are. Errors carry kLostTreeDetail.
  std::shared_ptr<content::BlobProvider> provider_for(const LayerBlob& layer);

  // -- attributes ---------------------------------------------------------------------------------
  Status set_attribute(const TreeRef& tree, std::string_view key, std::string_view value,
                       std::string_view index_key = {});
  Result<std::optional<std::string>> attribute(std::string_view id, std::string_view key);
  // Blobs that live as long as the record (config, manifest), or as long as a named owner says
  // (at most as long as this process: what an owner held when the daemon was killed is swept).
  Status hold_blob(const TreeRef& tree, const Digest& blob);
  Status hold_blob(std::string_view owner, const Digest& blob);
  Status release_blobs(std::string_view owner);

  // -- accounting ---------------------------------------------------------------------------------
  // Exact; measures what was not measured yet, in parallel.
  Result<std::vector<Usage>> du(const std::vector<std::string>& filters, std::stop_token stop, Duration age_limit = {});
  // Removes what the options allow; tells each removed record as it goes. Gives what was freed.
  Result<PruneReport> prune(const std::vector<PruneOptions>& policy, std::stop_token stop,
                            const std::function<void(const Usage&)>& removed = {});
  // "overlayfs" or "native".
  std::string_view snapshotter_name() const;
  std::uint64_t layer_bytes_max() const;
  // Waits for the background sweep; for tests.
  void settle();

 private:
  explicit Trees(std::shared_ptr<TreesState> state);
  std::shared_ptr<TreesState> state_;
};

}  // namespace kiln::store
