#include "layer/compression.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "layer/estargz.h"
#include "layer/internal/chunked_encoder.h"
#include "layer/internal/encoders.h"
#include "layer/internal/gzip_chunk.h"
#include "layer/internal/zstd_chunk.h"

namespace kiln::layer {
namespace {

class PlainEncoder final : public Encoder {
 public:
  explicit PlainEncoder(ByteSink& sink) : sink_(sink) {}
  Status write(std::string_view bytes) override { return sink_.write(bytes); }
  Status finish() override { return ok(); }

 private:
  ByteSink& sink_;
};

// A source with its first bytes put back in front.
class RewoundSource final : public ByteSource {
 public:
  RewoundSource(std::string first, std::unique_ptr<ByteSource> rest)
      : first_(std::move(first)), rest_(std::move(rest)) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    if (at_ == first_.size()) return rest_->read(buffer);
    std::size_t n = std::min(buffer.size(), first_.size() - at_);
    std::memcpy(buffer.data(), first_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  std::string first_;
  std::size_t at_ = 0;
  std::unique_ptr<ByteSource> rest_;
};

Status level_error(std::string_view name, int level, int max) {
  return user_error(Code::kInvalidArgument,
                    fmt::format("compression level {} is out of range for {}: use 0 to {}", level, name, max));
}

}  // namespace

Result<Compression> parse_compression(std::string_view name) {
  for (Compression type : {Compression::kUncompressed, Compression::kGzip, Compression::kZstd, Compression::kEstargz}) {
    if (to_string(type) == name) return type;
  }
  return user_error(Code::kInvalidArgument, fmt::format("unsupported compression type {}", name));
}

std::string_view to_string(Compression type) {
  switch (type) {
    case Compression::kUncompressed: return "uncompressed";
    case Compression::kGzip: return "gzip";
    case Compression::kZstd: return "zstd";
    case Compression::kEstargz: return "estargz";
  }
  return "uncompressed";
}

Result<std::unique_ptr<Encoder>> make_encoder(const CompressionOptions& options, ByteSink& sink) {
  int threads = options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  threads = std::clamp(threads, 1, 16);
  switch (options.type) {
    case Compression::kUncompressed: return std::unique_ptr<Encoder>(new PlainEncoder(sink));
    case Compression::kGzip: {
      int level = options.level.value_or(1);
      if (level < 0 || level > 9) return level_error("gzip", level, 9);
      auto packer = [level = options.level] { return std::make_unique<internal::GzipChunker>(level); };
      return internal::make_chunked_encoder({internal::kGzipChunkBytes, threads, packer}, sink);
    }
    case Compression::kZstd: {
      int level = options.level.value_or(0);
      if (level < 0 || level > 22) return level_error("zstd", level, 22);
      if (level != 0) return internal::make_zstd_encoder(level, threads, sink);
      auto packer = [] { return std::make_unique<internal::ZstdChunker>(); };
      return internal::make_chunked_encoder({internal::kZstdChunkBytes, threads, packer}, sink);
    }
    case Compression::kEstargz: {
      int level = options.level.value_or(1);
      if (level < 0 || level > 9) return level_error("estargz", level, 9);
      return std::unique_ptr<Encoder>(make_estargz_encoder(options.level, sink));
    }
  }
  return engine_error("unknown compression");
}

Compression detect(std::string_view first_bytes) {
  if (first_bytes.starts_with("\x1f\x8b\x08")) return Compression::kGzip;
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return Compression::kZstd;
  // A skippable frame: 0x184D2A50 to 0x184D2A5F, little-endian.
  if (first_bytes.size() >= 4 && (static_cast<unsigned char>(first_bytes[0]) & 0xf0) == 0x50 &&
      first_bytes.substr(1, 3) == "\x2a\x4d\x18") {
    return Compression::kZstd;
  }
  return Compression::kUncompressed;
}

Result<std::unique_ptr<ByteSource>> decompress(std::unique_ptr<ByteSource> source) {
  std::string first(10, '\0');
  std::size_t have = 0;
  while (have < first.size()) {
    KILN_ASSIGN_OR_RETURN(std::size_t n, source->read({first.data() + have, first.size() - have}));
    if (n == 0) break;
    have += n;
  }
  first.resize(have);
  Compression type = detect(first);
  return decompress_as(type, std::make_unique<RewoundSource>(std::move(first), std::move(source)));
}

std::unique_ptr<ByteSource> decompress_as(Compression type, std::unique_ptr<ByteSource> source) {
  switch (type) {
    case Compression::kGzip:
    case Compression::kEstargz: return internal::make_gzip_decoder(std::move(source));
    case Compression::kZstd: return internal::make_zstd_decoder(std::move(source));
    case Compression::kUncompressed: break;
  }
  return source;
}

}  // namespace kiln::layer
