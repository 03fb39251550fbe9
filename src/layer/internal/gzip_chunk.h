// One chunk of a layer as gzip members. Pure: the bytes depend on chunk and level alone.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct libdeflate_compressor;

namespace kiln::layer::internal {

inline constexpr std::size_t kGzipChunkBytes = 1 << 20;

inline constexpr std::size_t kGzipSegmentBytes = 64 * 1024;

// Which segments of a chunk are worth compressing, and at which level.
struct ChunkPlan {
  int level = 5;
  std::bitset<kGzipChunkBytes / kGzipSegmentBytes> random;  // stored as they are
};

// One thread.
class GzipChunker {
 public:
  // Absent: the default effort, see plan().
  explicit GzipChunker(std::optional<int> level = std::nullopt) : level_(level) {}
  ~GzipChunker();
  GzipChunker(const GzipChunker&) = delete;
  GzipChunker& operator=(const GzipChunker&) = delete;

  // With the default effort a fast level is taken where it costs little: where a sample of the chunk
  // becomes hardly larger by it, and for what is left of a chunk that is mostly incompressible.
  ChunkPlan plan(std::string_view chunk);
  // Appends the members of `chunk` to `out`. False only when memory is out.
  bool compress(std::string_view chunk, std::string& out);
  // Appends all of `bytes`, of any length, as one member.
  bool compress_whole(std::string_view bytes, int level, std::string& out) { return append_member(level, bytes, out); }

 private:
  bool append_member(int level, std::string_view bytes, std::string& out);
  std::size_t packed_bytes(int level, std::string_view bytes);
  libdeflate_compressor* compressor(int level);

  std::optional<int> level_;
  std::array<libdeflate_compressor*, 10> compressors_{};  // by level, made when first needed
  std::string scratch_;
};

// Whether compressing the bytes would be labour lost: they look random and do not repeat themselves.
bool looks_incompressible(std::string_view bytes);

}  // namespace kiln::layer::internal
