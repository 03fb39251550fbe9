// Directories that a step only touched. Overlayfs copies a directory up when a file is made in it;
// when the file goes again, the empty copy stays in the upper directory and would count as a change.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace kiln::store {

// Removes from `upper` every empty directory that is seen just the same in the stack of `lowers`
// (overlay directories, lowest first): same owner, mode, time and attributes, and not hidden in between.
// Blocks on the disk; looks at directories only.
Status drop_touched_directories(const std::string& upper, const std::vector<std::string>& lowers);

}  // namespace kiln::store
