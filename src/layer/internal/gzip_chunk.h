// One chunk of a layer as gzip members. Pure: the bytes depend on chunk and level alone.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layer/internal/chunked_encoder.h"
#include "layer/internal/random_runs.h"

struct libdeflate_compressor;

namespace kiln::layer::internal {

inline constexpr std::size_t kGzipChunkBytes = 1 << 20;
// As small as zlib's 6 or a few percent smaller, in a third of the time.
inline constexpr int kGzipDefaultLevel = 5;

class GzipChunker final : public ChunkPacker {
 public:
  // Absent: the default effort, which takes a fast level where that costs little: where a sample of the chunk
  // becomes hardly larger by it, and for what is left of a chunk that is mostly incompressible.
  explicit GzipChunker(std::optional<int> level = std::nullopt) : level_(level) {}
  ~GzipChunker() override;
  GzipChunker(const GzipChunker&) = delete;
  GzipChunker& operator=(const GzipChunker&) = delete;

  bool pack(std::string_view chunk, std::string& out) override;
  // Appends all of `bytes`, of any length, as one member. False when memory is out.
  bool append_member(int level, std::string_view bytes, std::string& out);

 private:
  int level_for(std::string_view chunk, const std::vector<Run>& runs);
  std::string_view deflated(int level, std::string_view bytes);
  libdeflate_compressor* compressor(int level);

  std::optional<int> level_;
  std::array<libdeflate_compressor*, 10> compressors_{};  // by level, made when first needed
  std::string scratch_;
};

}  // namespace kiln::layer::internal
