// What a Mount shows, as a mount without a place: its source, or the path inside that the selector
// names, resolved so that no symbolic link leaves the source.
#pragma once

#include <string>

#include "base/status.h"
#include "host/fd.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// `scratch_root` is a directory of ours, for kernels that clone only what has a place.
Result<host::Fd> open_source(const Mount& mount, const std::string& scratch_root);
// A bind of what the descriptor holds, with the flags among the options ("ro", "rbind", …).
Result<host::Fd> clone_tree(int fd, const host::MountSpec& what);

}  // namespace kiln::sandbox
