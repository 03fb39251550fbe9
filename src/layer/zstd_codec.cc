// Zstandard both ways, on libzstd, at a level that somebody asked for. At least one worker thread is always
// asked for, because the bytes of the multi-threaded mode do not depend on the number of workers but differ
// from those of none.
#include <fmt/format.h>
#include <zstd.h>

#include "layer/internal/encoders.h"

namespace kiln::layer::internal {
namespace {

constexpr int kJobBytes = 2 << 20;

class ZstdEncoder final : public Encoder {
 public:
  ZstdEncoder(ZSTD_CCtx* context, int level, int threads, ByteSink& sink)
      : context_(context, ZSTD_freeCCtx), sink_(sink), out_(ZSTD_CStreamOutSize(), '\0') {
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, threads);
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    if (level <= 6) ZSTD_CCtx_setParameter(context, ZSTD_c_jobSize, kJobBytes);
  }

  Status write(std::string_view bytes) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    while (in.pos < in.size) KILN_RETURN_IF_ERROR(step(in, ZSTD_e_continue).status());
    return ok();
  }

  Status finish() override {
    ZSTD_inBuffer in{nullptr, 0, 0};
    while (true) {
      KILN_ASSIGN_OR_RETURN(std::size_t left, step(in, ZSTD_e_end));
      if (left == 0) return ok();
    }
  }

 private:
  Result<std::size_t> step(ZSTD_inBuffer& in, ZSTD_EndDirective directive) {
    ZSTD_outBuffer out{out_.data(), out_.size(), 0};
    std::size_t left = ZSTD_compressStream2(context_.get(), &out, &in, directive);
    if (ZSTD_isError(left)) {
      return environment_error(Code::kResourceExhausted, fmt::format("zstd: {}", ZSTD_getErrorName(left)));
    }
    if (out.pos > 0) KILN_RETURN_IF_ERROR(sink_.write({out_.data(), out.pos}));
    return left;
  }

  std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context_;
  ByteSink& sink_;
  std::string out_;
};

class ZstdDecoder final : public ByteSource {
 public:
  explicit ZstdDecoder(std::unique_ptr<ByteSource> source)
      : source_(std::move(source)), context_(ZSTD_createDCtx(), ZSTD_freeDCtx), in_bytes_(kChunkBytes, '\0') {}

  Result<std::size_t> read(std::span<char> buffer) override {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    while (out.pos == 0 && out.size > 0) {
      if (in_.pos == in_.size && !has_more_out_) {
        KILN_ASSIGN_OR_RETURN(std::size_t n, source_->read(in_bytes_));
        if (n == 0) {
          if (inside_frame_) return damaged("zstd: unexpected end of stream");
          return std::size_t{0};
        }
        in_ = {in_bytes_.data(), n, 0};
      }
      std::size_t left = ZSTD_decompressStream(context_.get(), &out, &in_);
      if (ZSTD_isError(left)) return damaged(fmt::format("zstd: {}", ZSTD_getErrorName(left)));
      inside_frame_ = left != 0;
      // After the end of a frame an empty call would seem to begin another.
      has_more_out_ = inside_frame_ && out.pos == out.size;
    }
    return out.pos;
  }

 private:
  std::unique_ptr<ByteSource> source_;
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context_;
  std::string in_bytes_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool inside_frame_ = false;
  bool has_more_out_ = false;
};

}  // namespace

Result<std::unique_ptr<Encoder>> make_zstd_encoder(int level, int threads, ByteSink& sink) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  if (!context) return environment_error(Code::kResourceExhausted, "zstd: out of memory");
  return std::unique_ptr<Encoder>(std::make_unique<ZstdEncoder>(context, level, threads, sink));
}

std::unique_ptr<ByteSource> make_zstd_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<ZstdDecoder>(std::move(source));
}

}  // namespace kiln::layer::internal
