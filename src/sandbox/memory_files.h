// Files that exist in memory only, for secrets: on a tmpfs of our own that no other user can enter.
//
//   KILN_ASSIGN_OR_RETURN(MemoryFile file, files.put(inline_file));   // bind file.path() somewhere
#pragma once

#include <mutex>
#include <string>

#include "base/status.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// Gone when destroyed. One thread at a time.
class MemoryFile {
 public:
  MemoryFile() = default;
  explicit MemoryFile(std::string path) : path_(std::move(path)) {}
  ~MemoryFile();
  MemoryFile(MemoryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  MemoryFile& operator=(MemoryFile&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Any thread. Mounts its tmpfs with the first file and takes it away at the end.
class MemoryFiles {
 public:
  explicit MemoryFiles(std::string folder) : folder_(std::move(folder)) {}
  ~MemoryFiles();
  Result<MemoryFile> put(const InlineFile& file);

 private:
  Status mount_once();
  std::string folder_;
  std::mutex mutex_;
  bool mounted_ = false;
};

// How such a file is bound: read-only, and not executable unless its mode says so.
host::MountSpec bind_of(const MemoryFile& file, const InlineFile& contents);

}  // namespace kiln::sandbox
