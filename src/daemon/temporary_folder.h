// Where a daemon keeps what is temporary: one folder below $TMPDIR, named after its root. A daemon that was
// killed could not unmount and remove what it had there; the next one of the same root does, and nobody
// else, as the root's lock says that its owner is dead.
//
//   KILN_ASSIGN_OR_RETURN(auto temporary, TemporaryFolder::take(config.root));   // with the lock held
#pragma once

#include <string>
#include <utility>

#include "base/status.h"

namespace kiln::daemon {

// The folder; goes with its owner. One thread.
class TemporaryFolder {
 public:
  // Empties or makes it, and points TMPDIR to it for this process and those it starts. When somebody else has
  // the name, a fresh one is taken. Call before there are threads; blocks on the disk.
  static Result<TemporaryFolder> take(const std::string& root);
  ~TemporaryFolder();
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace kiln::daemon
