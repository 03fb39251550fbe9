// A tree that we hold: the result of a step, an unpacked image, a checkout. What BuildKit calls a
// ref. Stands between the snapshots and blobs on disk and everyone who uses trees by reference.
//
//   TreeRef base = …;                                      // holding it keeps it from being pruned
//   auto work = trees.make_mutable(base, {"RUN make"});    // trees.h
//   TreeRef done = (*work)->commit();
//
// A Tree never changes and costs nothing until used: a pulled layer may be no more than a descriptor
// and somebody who can fetch it; a merge is a list. nullptr means scratch, the empty tree.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/status.h"
#include "content/blob_provider.h"
#include "content/descriptor.h"
#include "event/event.h"
#include "host/fd.h"
#include "host/mount.h"
#include "store/tree_digest.h"

namespace kiln::store {

class Tree;
class Trees;
class MutableTree;
struct TreesState;
// Holding one is the lease: the record is not pruned while any lives, nor are its parents'.
using TreeRef = std::shared_ptr<const Tree>;

// As clients see it in `du`: "regular", "internal", "frontend", "source.local",
// "source.git.checkout", "exec.cachemount".
enum class RecordType { kRegular, kInternal, kFrontend, kLocalSource, kGitCheckout, kCacheMount };
std::string_view to_string(RecordType type);
RecordType parse_record_type(std::string_view text);  // unknown text is kRegular

enum class TreeKind {
  kLayer,  // parent + one difference (snapshot, blob or both)
  kMerge,  // inputs stacked, later over earlier
  kDiff,   // what must be put on inputs[0] to get inputs[1]
  kLoose,  // the same of a layer and its parent, written so that it may lie on anything
};

// Immutable; any thread. Made by Trees only.
class Tree {
 public:
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const std::string& id() const { return id_; }
  TreeKind kind() const { return kind_; }
  // Layer: what it stands on, null for scratch. Null for the other kinds.
  const TreeRef& parent() const { return parent_; }
  // Merge: at least two. Diff: lower and upper, of which one may be null.
  const std::vector<TreeRef>& inputs() const { return inputs_; }
  const std::string& description() const { return description_; }
  Time created() const { return created_; }
  RecordType type() const { return type_; }

  struct Body;  // what becomes known later: snapshot, blobs, digests; the store's own

 private:
  friend class Trees;
  friend struct TreesState;
  Tree() = default;
  std::string id_;
  TreeKind kind_ = TreeKind::kLayer;
  TreeRef parent_;
  std::vector<TreeRef> inputs_;
  std::string description_;
  Time created_{};
  RecordType type_ = RecordType::kRegular;
  std::unique_ptr<Body> body_;
  std::shared_ptr<TreesState> owner_;
};

// A tree opened for reading. `root` is a directory descriptor good for host::open_in_root; no
// mountpoint exists, and it goes with the object. One thread may close it; reading: any thread.
struct OpenTree {
  host::Fd root;
  TreeRef held;
  // A path for functions that want one: "/proc/self/fd/<n>". Valid in this process while this lives.
  std::string path() const;
};

// Detail of an error of a call that needed bytes: the id of the layer that nobody could give (its
// provider has gone or fails, its blob is damaged). Whoever can make the tree anew may do so.
inline constexpr std::string_view kLostTreeDetail = "kiln/lost-tree";
// Whether the tree stands on, or is made of, the record of that id.
bool made_of(const TreeRef& tree, std::string_view id);

// What a new record is told about itself.
struct TreeOptions {
  std::string description;
  RecordType type = RecordType::kRegular;
  std::optional<Time> created;  // now when absent
};

// A layer that exists somewhere as a blob.
struct LayerSource {
  content::Descriptor blob;
  Digest diff_id;  // digest of the uncompressed tar
  // Who has the bytes when we do not; may be null when the blob is held locally. Lives with the tree.
  std::shared_ptr<content::BlobProvider> provider;
  // Told about download and extraction whenever they happen; may be null.
  std::shared_ptr<event::Reporter> reporter;
};

// One layer of a tree on its way out.
struct LayerBlob {
  content::Descriptor blob;
  Digest diff_id;
  std::string description;
  Time created{};
  TreeRef tree;  // the record it belongs to
  // Set when the bytes are not in the local store; then the provider has them.
  std::shared_ptr<content::BlobProvider> provider;
};

// A tree being written; unique owner. The destructor throws it away, unless it was committed or is
// a kept one, which is given back for the next to take. One thread at a time.
class MutableTree {
 public:
  ~MutableTree();
  MutableTree(const MutableTree&) = delete;
  MutableTree& operator=(const MutableTree&) = delete;

  const std::string& id() const { return id_; }
  const TreeRef& parent() const { return parent_; }

  // How to mount it for writing.
  Result<host::MountSpec> mount();
  // How to mount it for reading only.
  Result<host::MountSpec> mount_readonly();
  // Opens it for reading and writing by ourselves.
  Result<OpenTree> open();

  // Ends the writing; the object is spent. Not for kept trees.
  Result<TreeRef> commit(TreeOptions options);
  Result<TreeRef> commit();  // with the options it was made with

  // Kept trees: shows the present state as a tree without copying. As long as anybody holds that
  // tree, or something was built upon it, this tree cannot be taken again (Trees::take gives null);
  // afterwards taking it makes the shown tree vanish. The object is spent.
  Result<TreeRef> freeze(TreeOptions options);

  // Makes it a long-lived tree found under the key: see Trees::take. Survives restarts.
  Status keep(std::string_view index_key);
  // Free-form facts about it that live as long as it does (etag, commit, …).
  Status set_attribute(std::string_view key, std::string_view value, std::string_view index_key = {});
  std::optional<std::string> attribute(std::string_view key);
  // Deletes everything in it and its record instead of keeping it.
  void discard();

  // Content digests known from writing, so that nothing is read twice (tree_digest.h). Paths are
  // relative, '/'-separated. They replace and extend what is known from the last time.
  void seed_digest(std::string_view path, const FileFacts& facts, const Digest& digest);
  void forget_digest(std::string_view path);  // removed, with everything below; "" forgets all

 private:
  friend class Trees;
  friend struct TreesState;
  struct Body;
  MutableTree() = default;
  std::string id_;
  TreeRef parent_;
  std::unique_ptr<Body> body_;
};

using MutableRef = std::unique_ptr<MutableTree>;

}  // namespace kiln::store
