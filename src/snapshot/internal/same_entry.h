// When two entries of trees count as the same, so that the one is no change of the other.
#pragma once

#include <sys/stat.h>

#include <string>

#include "base/status.h"

namespace kiln::snapshot {

// The entry `name` of two open directories, with their lstat. The same: type, owner, mode, size,
// attributes (overlay's own aside), link target, device and time; files whose time has no nanoseconds
// on one side are compared by bytes. Directories: without what is in them.
Result<bool> same_entry(int lower, const struct stat& below, int upper, const struct stat& above,
                        const std::string& name);

}  // namespace kiln::snapshot
