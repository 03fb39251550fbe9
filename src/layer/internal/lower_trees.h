// What an overlay shows below its upper dir, looked up one directory at a time without a mount.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::layer::internal {

// The directories of all lower trees that together make one merged directory, top first. Movable.
class LowerFolder {
 public:
  LowerFolder() = default;
  static Result<LowerFolder> open(const std::vector<std::string>& roots);

  bool empty() const { return folders_.empty(); }

  struct Found {
    struct stat info;
    int folder;  // descriptor of the directory it was found in
  };
  // The visible entry, whiteouts taken into account.
  Result<std::optional<Found>> find(const std::string& name) const;
  // The merged directory `name`; empty when it is no directory.
  Result<LowerFolder> descend(const std::string& name) const;
  // All visible names, sorted by bytes.
  Result<std::vector<std::string>> names() const;

 private:
  std::vector<host::Fd> folders_;
};

bool is_whiteout(const struct stat& info);
// Reads the overlay's opaque mark, in either attribute namespace.
bool is_opaque(int folder_fd);
bool is_redirected(int folder_fd);

// Whether both are the same to a layer: type, mode, owner, device, capability; for others than
// directories also size and mtime and, where times may have been cut to seconds, content.
enum class TimeRule { kBothWhole, kEitherWhole };  // when content is compared
struct Candidate {
  const struct stat& info;
  int folder;
  const std::string& name;
};
Result<bool> same_entry(const Candidate& a, const Candidate& b, TimeRule rule);

}  // namespace kiln::layer::internal
