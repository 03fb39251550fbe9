#include "base/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace kiln {

Result<std::uint64_t> copy_stream(ByteSource& from, ByteSink& to) {
  auto buffer = std::make_unique<char[]>(kChunkBytes);
  std::uint64_t total = 0;
  while (true) {
    KILN_ASSIGN_OR_RETURN(std::size_t n, from.read({buffer.get(), kChunkBytes}));
    if (n == 0) return total;
    KILN_RETURN_IF_ERROR(to.write({buffer.get(), n}));
    total += n;
  }
}

Result<std::string> read_all(ByteSource& from, std::size_t bytes_max) {
  std::string out;
  char buffer[16 * 1024];
  while (true) {
    KILN_ASSIGN_OR_RETURN(std::size_t n, from.read(buffer));
    if (n == 0) return out;
    if (out.size() + n > bytes_max) {
      return peer_error(Code::kResourceExhausted, fmt::format("larger than the limit of {} bytes", bytes_max));
    }
    out.append(buffer, n);
  }
}

Result<std::size_t> StringSource::read(std::span<char> buffer) {
  std::size_t n = std::min(buffer.size(), text_.size() - at_);
  std::memcpy(buffer.data(), text_.data() + at_, n);
  at_ += n;
  return n;
}

}  // namespace kiln
