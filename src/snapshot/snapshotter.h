// Trees on disk. A snapshot is one directory named by an id; a chain of snapshots, lowest first, is
// a tree. Stands below store, which decides what the ids are and what they are for.
//
//   KILN_RETURN_IF_ERROR(snapshotter.prepare("new", {"base", "step1"}));
//   auto mounts = snapshotter.mounts({"base", "step1"}, "new");   // write there …
//   KILN_RETURN_IF_ERROR(snapshotter.commit("new"));              // … then it is {"base","step1","new"}
//
// The port exists because overlayfs is not everywhere: OverlaySnapshotter keeps differences and lets
// the kernel stack them, NativeSnapshotter keeps whole copies.
//
// There is no memory here beyond the directories: ids and chains come from the caller, whose database
// record makes a snapshot real. A directory without a record is left over and may be removed. Nothing
// is synced in here: after a power cut a recent snapshot may have short files.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "host/fs.h"
#include "host/mount.h"

namespace kiln::snapshot {

// Ids of committed snapshots, lowest first, at most once each. No ids: the empty tree. An id of "" at
// the bottom says that the one above it takes things away or hides them (a difference stacked on
// nothing), so that it must not be shown as it lies on disk.
using Chain = std::vector<std::string>;

// What the directory of a committed snapshot holds.
enum class Material {
  kDifference,  // overlay's upper format: 0:0 character devices take away, "trusted.overlay.opaque"
                // hides what lies below
  kWholeTree,   // everything visible at that point of the chain
};

// Any thread; two calls about one id must not overlap. An implementer gives NotFound for ids it has
// no directory of, AlreadyExists when prepare's id is taken.
class Snapshotter {
 public:
  virtual ~Snapshotter() = default;
  virtual std::string_view name() const = 0;  // "overlayfs", "native", as clients know them
  virtual Material material() const = 0;
  // A new writable snapshot on a chain. Cheap for overlay; copies the tree for native (cancellable).
  virtual Status prepare(const std::string& id, const Chain& parents, std::stop_token stop = {}) = 0;
  // Ends the writing. Nothing may have it mounted any more.
  virtual Status commit(const std::string& id) = 0;
  // How to mount the chain, with `writable` (a prepared id, or "" for a read-only mount) on top.
  // One spec; always mountable, also for the empty chain. Specs of writable mounts of one id may be
  // mounted several times one after the other, not at once.
  virtual Result<host::MountSpec> mounts(const Chain& chain, const std::string& writable = {}) = 0;
  // The directory with the snapshot's own files; exists after prepare.
  virtual std::string directory(const std::string& id) const = 0;
  // Whether `directory` of this prepared id may be written without a mount: it has no parents, or the
  // whole tree lies there.
  virtual bool direct(const Chain& parents) const = 0;
  // Fine when it is gone already.
  virtual Status remove(const std::string& id) = 0;
  // Allocated bytes and inodes of the directory. Walks it.
  virtual Result<host::DiskUsage> usage(const std::string& id, std::stop_token stop = {}) = 0;
  // Ids that have directories, committed or not.
  virtual Result<std::vector<std::string>> list() = 0;
};

}  // namespace kiln::snapshot
