// Inflates gzip by ISA-L, member after member.
#include <fmt/format.h>
#include <isa-l/igzip_lib.h>

#include "layer/internal/encoders.h"

namespace kiln::layer::internal {
namespace {

class GzipDecoder final : public ByteSource {
 public:
  explicit GzipDecoder(std::unique_ptr<ByteSource> source)
      : source_(std::move(source)), in_bytes_(kChunkBytes, '\0'), stream_(std::make_unique<inflate_state>()) {
    begin_member();
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    stream_->next_out = reinterpret_cast<std::uint8_t*>(buffer.data());
    stream_->avail_out = static_cast<std::uint32_t>(std::min<std::size_t>(buffer.size(), 1u << 30));
    const std::uint32_t wanted = stream_->avail_out;
    while (stream_->avail_out == wanted) {
      if (at_end_ || wanted == 0) return std::size_t{0};
      if (stream_->block_state == ISAL_BLOCK_FINISH) {
        KILN_RETURN_IF_ERROR(next_member());
        continue;
      }
      if (stream_->avail_in == 0) {
        KILN_ASSIGN_OR_RETURN(bool more, refill());
        // What the decoder holds back may still give output without input.
        if (!more && drained_) return damaged("gzip: unexpected end of stream");
        drained_ = !more;
      }
      int code = isal_inflate(stream_.get());
      if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT)
        return damaged(fmt::format("gzip: damaged stream ({})", code));
    }
    return static_cast<std::size_t>(wanted - stream_->avail_out);
  }

 private:
  void begin_member() {
    auto* next_in = stream_->next_in;
    auto avail_in = stream_->avail_in;
    auto* next_out = stream_->next_out;
    auto avail_out = stream_->avail_out;
    isal_inflate_init(stream_.get());
    stream_->crc_flag = ISAL_GZIP;
    stream_->next_in = first_ ? nullptr : next_in;
    stream_->avail_in = first_ ? 0 : avail_in;
    stream_->next_out = next_out;
    stream_->avail_out = avail_out;
    first_ = false;
  }

  Result<bool> refill() {
    KILN_ASSIGN_OR_RETURN(std::size_t n, source_->read(in_bytes_));
    stream_->next_in = reinterpret_cast<std::uint8_t*>(in_bytes_.data());
    stream_->avail_in = static_cast<std::uint32_t>(n);
    return n > 0;
  }

  // After a member: another one, the end, or padding zeros (which some tools leave).
  Status next_member() {
    if (stream_->avail_in == 0) {
      KILN_ASSIGN_OR_RETURN(bool more, refill());
      if (!more) {
        at_end_ = true;
        return ok();
      }
    }
    if (*stream_->next_in == 0) {
      ++stream_->next_in;
      --stream_->avail_in;
      return ok();
    }
    if (*stream_->next_in != 0x1f) return damaged("gzip: garbage after the end");
    begin_member();
    return ok();
  }

  std::unique_ptr<ByteSource> source_;
  std::string in_bytes_;
  std::unique_ptr<inflate_state> stream_;
  bool first_ = true;
  bool drained_ = false;
  bool at_end_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> make_gzip_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<GzipDecoder>(std::move(source));
}

}  // namespace kiln::layer::internal
