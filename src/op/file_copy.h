// The copy action: files from one tree into another, as `cp -a` with the options of the graph's
// CopyAction. Both sides are descriptors of tree roots that are never left, whatever links they hold.
//
//   KILN_RETURN_IF_ERROR(copy_files(source_root, target_root, action, owner, 0, stop));
//
// Contents are shared or copied inside the kernel where the file systems can; holes, hard links,
// extended attributes, devices and fifos are kept.
#pragma once

#include <optional>
#include <stop_token>

#include "base/status.h"
#include "graph/op.h"
#include "op/file_owner.h"

namespace kiln::op {

// Blocking, cancellable. Errors in Go's words with paths as seen inside the trees. Archives are
// unpacked when the action asks for it (file_unpack.h), to at most `archive_bytes_max` bytes (0: any number).
Status copy_files(int source, int target, const graph::CopyAction& action, const std::optional<Owner>& owner,
                  std::uint64_t archive_bytes_max, std::stop_token stop);

}  // namespace kiln::op
