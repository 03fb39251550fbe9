#include "sandbox/proxy/http_body.h"

#include <charconv>

#include "base/text.h"

namespace kiln::sandbox::proxy {
namespace {

constexpr std::size_t kPiece = 64u << 10;

Status cut_off() { return peer_error(Code::kUnavailable, "the body of an HTTP message was cut off"); }

}  // namespace

// Reads the size of the next chunk; the last one has none, and fields may follow it.
Status BodyReader::next_chunk() {
  if (begun_) KILN_RETURN_IF_ERROR(from_.read_line().status());  // the end of the chunk before
  begun_ = true;
  KILN_ASSIGN_OR_RETURN(const std::string line, from_.read_line());
  const std::string_view size = trim(split_once(line, ';').first);
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), left_, 16);
  if (size.empty() || error != std::errc() || end != size.data() + size.size()) {
    return peer_error(Code::kInvalidArgument, "a chunk of an HTTP message has no size");
  }
  if (left_ != 0) return ok();
  ended_ = true;
  for (;;) {
    KILN_ASSIGN_OR_RETURN(const std::string field, from_.read_line());
    if (field.empty()) return ok();
  }
}

Result<std::string_view> BodyReader::next() {
  if (ended_ || frame_.kind == BodyKind::kNone) return std::string_view();
  if (frame_.kind == BodyKind::kUntilClose) return from_.read_some(kPiece);
  if (left_ == 0 && frame_.kind == BodyKind::kChunked) KILN_RETURN_IF_ERROR(next_chunk());
  if (left_ == 0) return std::string_view();
  KILN_ASSIGN_OR_RETURN(const std::string_view bytes,
                        from_.read_some(static_cast<std::size_t>(std::min<std::uint64_t>(left_, kPiece))));
  if (bytes.empty()) return cut_off();
  left_ -= bytes.size();
  return bytes;
}

Status BodyWriter::write(std::string_view bytes) {
  if (bytes.empty()) return ok();
  if (kind_ != BodyKind::kChunked) return to_.write(bytes);
  KILN_RETURN_IF_ERROR(to_.write(fmt::format("{:x}\r\n", bytes.size())));
  KILN_RETURN_IF_ERROR(to_.write(bytes));
  return to_.write("\r\n");
}

Status BodyWriter::finish() { return kind_ == BodyKind::kChunked ? to_.write("0\r\n\r\n") : ok(); }

}  // namespace kiln::sandbox::proxy
