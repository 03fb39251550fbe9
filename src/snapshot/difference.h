// What changed between two chains, as a snapshot of its own in overlay's format, for chains that
// share no useful history and for snapshotters that keep whole trees.
//
//   KILN_RETURN_IF_ERROR(write_difference(lower_dir, upper_dir, out_dir, stop));
#pragma once

#include <stop_token>
#include <string>

#include "base/status.h"

namespace kiln::snapshot {

// Fills the empty directory `out` so that `out` stacked on `lower` looks like `upper`: new and changed
// entries are copied (reflinked where possible), missing ones become 0:0 devices, directories that
// only contain changes are repeated with their attributes. `lower` may be "" for nothing. Both are
// whole trees (mounted or plain). Equal means: type, owner, mode, size, xattrs, link target, device
// and mtime; files whose mtime has no nanoseconds on one side are compared by bytes. Cancellable.
Status write_difference(const std::string& lower, const std::string& upper, const std::string& out,
                        std::stop_token stop);

// An overlay directory says more than what changed over the tree it was made on: an opaque directory
// hides whatever is below, a file that was moved away and back is a copy of what is there. On another
// tree that would hide and undo what others did. The loose form says what changed and nothing else:
// each name that was taken away, each entry that is new or different. Written with hard links; the
// overlay directory stays as it is. `lower` is that tree, whole. Cancellable.
Status write_loose_difference(const std::string& lower, const std::string& upper, const std::string& out,
                              std::stop_token stop);
// Whether that would be something else than the directory itself.
Result<bool> loose_difference_differs(const std::string& lower, const std::string& upper, std::stop_token stop);

// Lays a difference over a whole tree: what it takes away is removed, what it has is copied.
Status apply_difference(const std::string& difference, const std::string& target, std::stop_token stop);
// What is left of a difference on nothing: the marks of things taken away are removed.
Status strip_difference(const std::string& difference, std::stop_token stop);

}  // namespace kiln::snapshot
