// Snapshots as the layers of overlayfs. Disk format, below the root given:
//   <id>/fs     the snapshot's own files, in overlay's upper format
//   <id>/work   only while it is written to
//   empty/      never holds anything: the tree of the empty chain
//   probed      which mount options were seen to work, and in which boot
//   stacks/     layers of chains too long for one mount, joined; made anew by each process
//
// Mounts are made with index, metacopy and redirect_dir off, so that a directory is a whole account
// of its difference, and volatile: a step's fsyncs cost nothing, since a step that did not finish is
// thrown away anyhow.
#pragma once

#include <memory>
#include <string>

#include "snapshot/snapshotter.h"

namespace kiln::snapshot {

// Makes the root when missing. Unavailable when the kernel cannot do it there.
Result<std::unique_ptr<Snapshotter>> open_overlay(const std::string& root);

}  // namespace kiln::snapshot
