// Copying entries one by one with everything that belongs to them; what copy_tree is made of, for
// those who choose the entries themselves.
//
//   TreeCopy copy(target_root_fd, options, stop);
//   KILN_RETURN_IF_ERROR(copy.entry(from_dir, to_dir, "name", "path/of/name"));
#pragma once

#include <sys/stat.h>

#include <map>
#include <stop_token>
#include <string>
#include <utility>

#include "base/status.h"
#include "host/fs.h"

namespace kiln::host {

// One run; remembers which inodes were copied, so that hard links stay links. One thread. Options and
// the target root outlive it.
class TreeCopy {
 public:
  TreeCopy(int target_root, const CopyOptions& options, std::stop_token stop)
      : target_root_(target_root), options_(options), stop_(stop) {}

  // Everything in the directory `from`, named `path` below the target root ("" for itself).
  Status directory(int from, int to, const std::string& path);
  // One entry with its attributes; a directory with everything below. AlreadyExists when something
  // that is not a directory is in the way.
  Status entry(int from, int to, const std::string& name, const std::string& path);
  // The same without what is below a directory.
  Status entry_alone(int from, int to, const std::string& name, const std::string& path, const struct stat& info);
  // Owner, mode, extended attributes and times.
  Status attributes(int from, int to, const std::string& name, const struct stat& info);

 private:
  // Tells whether there is anything left to do.
  Result<bool> make(int from, int to, const std::string& name, const std::string& path, const struct stat& info);
  int target_root_;
  const CopyOptions& options_;
  std::stop_token stop_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace kiln::host
