// Turns trees into layers: a whole tree, the upper dir of an overlay, or the difference of two trees
// becomes a sorted, deterministic tar.
//
//   TarWriter writer(encoder);
//   KILN_RETURN_IF_ERROR(write_overlay_upper(upper, writer, {}, stop));
//   KILN_RETURN_IF_ERROR(writer.finish());
//
// Order: every directory before its members; members by name as bytes; a whiteout stands where the
// name it takes away would. Directories above a change are written with it even when they did not
// change. Hard links within the layer stay hard links (the first by order carries the body). Owner,
// mode, mtime and devices are kept; atime, ctime and user names are not; whiteouts have mode, owner
// and time zero. Sockets are left out. All this as containerd's layers have it, so that equal trees
// give equal diff ids.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "layer/apply.h"
#include "layer/tar_entry.h"
#include "layer/tar_writer.h"

namespace kiln::layer {

// Which extended attributes go along: BuildKit's layers carry security.capability alone.
enum class XattrKeep { kCapability, kAll, kNone };

struct DiffOptions {
  XattrKeep xattrs = XattrKeep::kCapability;
  IdMap map_uid;  // from disk to archive
  IdMap map_gid;
  std::optional<FileTime> clamp_mtime;  // later mtimes become this
  // Whole seconds only, as BuildKit's layers have them (no pax mtime record). Default: yes.
  bool whole_seconds = true;
  // Called with each entry before it is written; may edit it (not its size); false leaves it out.
  std::function<bool(TarEntry& entry)> edit;
};

struct DiffReport {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // of file bodies
  std::uint64_t whiteouts = 0;
};

// All functions: blocking, cancelled between pieces; errors of the disk as errno_error; a file that
// shrinks while it is read is FailedPrecondition. They leave the writer unfinished.

// Everything below `root`, not `root` itself.
Result<DiffReport> write_tree(const std::string& root, TarWriter& writer, const DiffOptions& options,
                              std::stop_token stop);

// An overlay upper dir. 0:0 character devices become ".wh.<name>". With `lowers` (the overlay's lower
// dirs, top first, themselves with whiteouts and opaque marks): entries that only look changed (same
// metadata and, where times are whole seconds, same bytes) and whiteouts of nothing are left out, and
// an opaque directory becomes whiteouts of what it hides. Without lowers it becomes ".wh..wh..opq" as
// the directory's first member. FailedPrecondition for redirected directories (redirect_dir is off
// for snapshots).
Result<DiffReport> write_overlay_upper(const std::string& upper, const std::vector<std::string>& lowers,
                                       TarWriter& writer, const DiffOptions& options, std::stop_token stop);

// What must be applied on `lower` to get `upper` (both whole trees; `lower` empty means nothing).
// Files are taken for equal when type, owner, mode, size, capability and mtime are; when one of the
// mtimes has no nanoseconds, bytes are compared.
Result<DiffReport> write_difference(const std::string& lower, const std::string& upper, TarWriter& writer,
                                    const DiffOptions& options, std::stop_token stop);

}  // namespace kiln::layer
