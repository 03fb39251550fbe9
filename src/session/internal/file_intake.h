// Takes the contents of an open file that the other end handed over: reads, hashes and writes it in
// one pass, for large files in two threads.
//
//   KILN_ASSIGN_OR_RETURN(std::int64_t bytes, take_contents(packet.file.get(), to, hasher, {}, stop));
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "base/status.h"
#include "session/files.h"

namespace kiln::session::internal {

// Whether the file lies on a file system of this machine's kernel: reading a file of a network or of a
// program (FUSE) may take for ever, and cannot be cancelled.
bool on_this_machine(int file);

// From where `from` stands to its end, at most its size of now; what was hashed is what was written.
// InvalidArgument (fault: peer) for what is no regular file of this machine. Blocking, cancellable.
// Keeps at most four megabytes in memory. `hasher` may be null; `moved` is told the bytes so far.
Result<std::int64_t> take_contents(int from, int to, ContentHasher* hasher,
                                   const std::function<void(std::int64_t)>& moved, std::stop_token stop);

}  // namespace kiln::session::internal
