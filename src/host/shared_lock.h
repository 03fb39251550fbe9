// Places in one file that processes of this machine hold against each other: who shares a bridge,
// and which of its addresses are taken. The kernel lets go of them when a process dies.
//
//   KILN_ASSIGN_OR_RETURN(SharedLock lock, SharedLock::open("/run/kiln/bridge-buildkit0.lock"));
//   KILN_RETURN_IF_ERROR(lock.share(0));
//   if (lock.take(17)) … ; lock.give(17);
//
// Open-file-description locks (fcntl(2)) of one byte each; the holder itself must remember what it
// has, for its own locks do not stand in its way.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::host {

// Any thread.
class SharedLock {
 public:
  SharedLock() = default;
  // Makes the file and its folder. Readable by its owner only, so that nobody else can lock.
  static Result<SharedLock> open(const std::string& path);

  // Waits until nobody has the place for himself.
  Status share(std::int64_t place) const;
  // Whether the place is now this process's alone: nobody else has or shares it.
  bool take(std::int64_t place) const;
  void give(std::int64_t place) const;

 private:
  explicit SharedLock(Fd file) : file_(std::move(file)) {}
  Fd file_;
};

}  // namespace kiln::host
