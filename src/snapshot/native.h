// Snapshots as whole copies, for file systems that cannot carry an overlay. Slow on deep chains,
// right everywhere; files are shared by reflink where the file system has it, never by hard link.
// Disk format, below the root given: <id>/fs holds the whole tree.
#pragma once

#include <memory>
#include <string>

#include "snapshot/snapshotter.h"

namespace kiln::snapshot {

Result<std::unique_ptr<Snapshotter>> open_native(const std::string& root);

// By name: "auto" (overlayfs where it works, else native), "overlayfs", "native". InvalidArgument for
// another name, Unavailable with the reason when a named one does not work. Uses <root>/<name>.
Result<std::unique_ptr<Snapshotter>> open_snapshotter(const std::string& name, const std::string& root);

}  // namespace kiln::snapshot
