// Lays a layer onto a tree: members become files, whiteouts take away. Used when an image layer is
// unpacked into a snapshot and when ADD unpacks an archive.
//
//   KILN_ASSIGN_OR_RETURN(auto source, decompress(blob));          // layer/compression.h
//   KILN_ASSIGN_OR_RETURN(ApplyReport done, apply_layer(*source, root, {.target = ApplyTarget::kOverlayUpper}, stop));
//
// Confinement: every path is resolved below `root`, member by member, without ever following ".."
// or a symbolic link out of it; symlinked parents inside the tree resolve as in a chroot. A hostile
// (a name that climbs above the root) or broken member fails the whole with FailedPrecondition (fault: peer) naming the
// member. Semantics: OCI image-spec layer.md (whiteouts, opaque, hard links); overlayfs documentation.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/stream.h"
#include "layer/tar_entry.h"

namespace kiln::layer {

enum class ApplyTarget {
  kPlainTree,     // the tree already holds the lower layers: a whiteout deletes
  kOverlayUpper,  // an overlay upper or lower dir: a whiteout becomes a 0:0 character device, an
                  // opaque marker becomes the opaque attribute
};

// Files owned by id appear as mapped(id); for id-mapped (rootless) trees. The identity by default.
using IdMap = std::function<std::uint32_t(std::uint32_t)>;

struct ApplyOptions {
  ApplyTarget target = ApplyTarget::kPlainTree;
  bool user_xattr_opaque = false;  // "user.overlay.opaque" (rootless) instead of "trusted."
  // For an upper dir: the trees below it, top first. A parent directory that the layer does not name
  // takes owner, mode, times and xattrs from there; a hard link to a file there is copied up.
  std::vector<std::string> lowers;
  bool skip_forbidden_devices = false;     // leave out devices that may not be made (user namespaces)
  bool whiteouts = true;                   // false: an archive given to ADD; ".wh." names are plain files
  bool keep_owner = true;                  // false: everything belongs to the caller (no chown)
  std::optional<std::uint32_t> owner_uid;  // instead of the member's (ADD --chown)
  std::optional<std::uint32_t> owner_gid;
  IdMap map_uid;
  IdMap map_gid;
  // Bytes of file bodies that the whole may bring, 0 = any number: a few megabytes inflate to any size, and a disk
  // that is full hurts everybody's builds.
  std::uint64_t bytes_max = 0;
  // Called with the clean relative path and entry of each member before it is made; false leaves it out.
  std::function<bool(const std::string& path, const TarEntry& entry)> accept;
};

struct ApplyReport {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // of file bodies
};

// Reads `tar` (uncompressed) to its end and beyond the end marker. Blocking; cancelled between
// pieces. `root` must be an existing directory. xattrs that the file system does not take are left
// out, except security.capability when running as root. Errors: ResourceExhausted when the disk is
// full or the member that it names goes beyond `bytes_max`, PermissionDenied for devices when unprivileged.
Result<ApplyReport> apply_layer(ByteSource& tar, const std::string& root, const ApplyOptions& options,
                                std::stop_token stop);

}  // namespace kiln::layer
