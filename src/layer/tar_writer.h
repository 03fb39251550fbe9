// Writes a tar stream whose bytes depend on the entries alone. Headers are those that Go's
// archive/tar gives to the same entry: plain ustar when everything fits, else a pax header
// ("PaxHeaders.0/…") with sorted records; so a layer has the diff id that BuildKit would give it.
//
//   TarWriter writer(sink);
//   KILN_RETURN_IF_ERROR(writer.begin(entry));
//   KILN_RETURN_IF_ERROR(writer.write(bytes));   // entry.size bytes in all
//   KILN_RETURN_IF_ERROR(writer.finish());       // two zero blocks
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/stream.h"
#include "host/file_bytes.h"
#include "layer/tar_entry.h"

namespace kiln::layer {

// One thread. Gathers small writes; the sink gets large pieces. The sink must outlive it.
class TarWriter {
 public:
  explicit TarWriter(ByteSink& sink);
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;

  // Starts a member. FailedPrecondition when the body before it is not complete.
  Status begin(const TarEntry& entry);
  // A piece of the body; FailedPrecondition beyond entry.size.
  Status write(std::string_view bytes);
  // The same from a file, by a sink that takes files (host/file_bytes.h).
  bool takes_files() const;
  Status write_file(const host::FileBytes& bytes);
  // Ends the archive; nothing may follow.
  Status finish();

  std::uint64_t bytes_written() const { return total_; }

 private:
  Status put(std::string_view bytes);
  Status flush();
  ByteSink& sink_;
  std::string buffer_;
  std::uint64_t body_left_ = 0;
  std::uint64_t padding_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace kiln::layer
