// Names in archives made safe, and parent directories found below a root without leaving it.
#pragma once

#include <time.h>

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::layer::internal {

// What ".." is above the root: a fault, as in layers, or the root, as in a chroot.
enum class Climb { kRefused, kStaysAtRoot };
// "a/b" from "/a/./b/": relative and clean; "" for the root itself. Absent when ".." climbs above the
// root though it must not, or the name holds a zero byte.
std::optional<std::string> clean_path(std::string_view name, Climb climb = Climb::kRefused);

struct PathParts {
  std::string parent, base;
};
PathParts part_path(const std::string& clean);

// Opens parent directories below a root, resolved as in a chroot, remembers them, and makes those
// that are missing (0755, or as they are in `lowers`). One thread.
class ParentFolders {
 public:
  ParentFolders(int root, std::vector<std::string> lowers) : root_(root), lowers_(std::move(lowers)) {}

  // The descriptor lives until the next forget() or a hundred other parents.
  Result<int> open(const std::string& parent);
  // To be called when something that may be a parent (a directory, a symlink) was replaced.
  void forget() { open_.clear(); }
  // Of the folders made here after those in `lowers`: what their times must be when all is in them.
  const std::vector<std::pair<std::string, timespec>>& taken_times() const { return taken_times_; }

 private:
  Result<int> remember(const std::string& parent, host::Fd fd);
  Status make(const std::string& parent);
  Status take_attributes(int parent_fd, const std::string& base, const std::string& path);
  int root_;
  std::vector<std::string> lowers_;
  std::unordered_map<std::string, host::Fd> open_;
  std::vector<std::pair<std::string, timespec>> taken_times_;
};

// Confined openat2(2); O_CLOEXEC is added.
Result<host::Fd> open_below(int root, const std::string& path, int flags);

}  // namespace kiln::layer::internal
