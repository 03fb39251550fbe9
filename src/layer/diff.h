// Turns trees into layers: a whole tree, the upper dir of an overlay, or the difference of two trees
// becomes a sorted, deterministic tar.
//
//   TarWriter writer(encoder);
//   KILN_RETURN_IF_ERROR(write_overlay_upper(upper, writer, {}, stop));
//   KILN_RETURN_IF_ERROR(writer.finish());
//
// Order: every directory before its members; members by name as bytes; a whiteout stands where the
// name it takes away would. Hard links within the layer stay hard links (the first by order carries
// the body). Owner, mode, mtime, devices and xattrs are kept; atime, ctime and user names are not.
// Sockets are left out, as containerd does.
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

struct DiffOptions {
  bool user_xattr_opaque = false;  // which overlay attributes are read and hidden
  IdMap map_uid;                   // from disk to archive
  IdMap map_gid;
  std::optional<FileTime> clamp_mtime;  // later mtimes become this
  // Whole seconds only, as BuildKit's layers have them (no pax mtime record). Default: yes.
  bool whole_seconds = true;
  // Called with each entry before it is written; may edit it (not its size); false leaves it out.
  std::function<bool(TarEntry& entry)> edit;
};

struct DiffReport {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;      // of file bodies
  std::uint64_t whiteouts = 0;
};

// All functions: blocking, cancelled between pieces; errors of the disk as errno_error; a file that
// shrinks while it is read is FailedPrecondition. They leave the writer unfinished.

// Everything below `root`, not `root` itself.
Result<DiffReport> write_tree(const std::string& root, TarWriter& writer, const DiffOptions& options,
                              std::stop_token stop);

// An overlay upper dir: 0:0 character devices (and empty files with the overlay whiteout attribute)
// become ".wh.<name>", opaque directories get ".wh..wh..opq" as first member. `lowers`, top first,
// when given, let entries that only look changed (same metadata and, for files, same bytes) and
// whiteouts of nothing be left out, and parents of changes be written as BuildKit writes them.
Result<DiffReport> write_overlay_upper(const std::string& upper, const std::vector<std::string>& lowers,
                                       TarWriter& writer, const DiffOptions& options, std::stop_token stop);

// What must be applied on `lower` to get `upper` (both whole trees; `lower` empty means nothing).
// Files are taken for equal when type, owner, mode, size, xattrs and mtime are; when one of the
// mtimes has no nanoseconds, bytes are compared.
Result<DiffReport> write_difference(const std::string& lower, const std::string& upper, TarWriter& writer,
                                    const DiffOptions& options, std::stop_token stop);

}  // namespace kiln::layer
