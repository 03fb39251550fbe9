// Places for mounts inside a tree: made when missing, taken away after the step when nobody used
// them, so that a step leaves only what it wrote. The times of the folders touched are put back, both
// when a place is made and when it goes.
//
//   MountPoints points(root_fd, recursive);
//   KILN_RETURN_IF_ERROR(points.ensure("/etc/hosts", MountPoints::Kind::kFile, MountPoints::Stay::kStub));
//   … run …
//   points.remove_stubs();
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::sandbox {

// One container's. One thread at a time.
class MountPoints {
 public:
  enum class Kind { kDirectory, kFile };
  // A stub goes afterwards if it is still empty; what is kept ("/proc") stays in the tree.
  enum class Stay { kStub, kKept };

  // `root` is borrowed and outlives this. With `recursive`, missing parents are stubs as well.
  MountPoints(int root, bool recursive) : root_(root), recursive_(recursive) {}

  // Links are followed inside the tree. Does nothing when the place exists, of whatever kind.
  Status ensure(std::string_view target, Kind kind, Stay stay);
  // Never fails: what cannot be removed stays.
  void remove_stubs();

 private:
  Status make(const std::string& path, Kind kind, Stay stay);

  int root_;
  bool recursive_;
  std::vector<std::string> stubs_;  // relative to the root, without links
};

}  // namespace kiln::sandbox
