// Bytes that lie in a file, and sinks that take them from there, so that the kernel moves them and no
// process reads them. Found by dynamic_cast on a ByteSource or ByteSink; who finds nothing, copies.
//
//   auto* from = dynamic_cast<host::FileSource*>(source.get());
//   auto* to = dynamic_cast<host::FileSink*>(&sink);
//   if (from && to && from->file() >= 0 && to->takes_files()) return to->write_file({from->file(), 0, size});
#pragma once

#include <cstdint>

#include "base/status.h"

namespace kiln::host {

// A stretch of an open file, from `offset`. The file's position is left alone.
struct FileBytes {
  int file = -1;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

class FileSource {
 public:
  virtual ~FileSource() = default;
  // An open file that is all of the source and does not change; -1 when there is none. Lives as long as the source.
  virtual int file() const = 0;
};

class FileSink {
 public:
  virtual ~FileSink() = default;
  virtual bool takes_files() const = 0;
  // Takes all the bytes or fails; FailedPrecondition when the file is shorter. Only if takes_files().
  virtual Status write_file(const FileBytes& bytes) = 0;
};

}  // namespace kiln::host
