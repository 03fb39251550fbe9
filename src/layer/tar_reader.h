// Reads a tar stream member by member without holding bodies. Takes what image builders write:
// ustar, pax (global headers included), GNU long names and base-256 numbers, old v7.
//
//   TarReader reader(source);
//   while (true) {
//     KILN_ASSIGN_OR_RETURN(const TarEntry* entry, reader.next());
//     if (!entry) break;
//     reader.read(buffer) … until 0        // optional: next() skips what is left
//   }
//
// Fails with FailedPrecondition (fault: peer), the member named: bad checksum, a stream cut short,
// sparse members (no builder makes them; extracting one as a plain file would be wrong).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/stream.h"
#include "layer/tar_entry.h"

namespace kiln::layer {

// One thread. The source must outlive it.
class TarReader {
 public:
  // Reads ahead by up to `buffer_bytes` (at least a block).
  explicit TarReader(ByteSource& source, std::size_t buffer_bytes = 512 * 1024);
  ~TarReader();
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  // The next member; null at the end of the archive. The entry lives until the next call.
  Result<const TarEntry*> next();
  // From the current body; 0 at its end.
  Result<std::size_t> read(std::span<char> buffer);
  // The current body without a copy: the next piece, empty at its end. Lives until the next call.
  Result<std::string_view> read_piece();
  // Reads on to the end of the source, past the end-of-archive marker (so that a digest over the
  // source covers all of it).
  Status drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::layer
