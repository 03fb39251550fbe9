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

// Plans chunks in their order. With the default effort a layer that is mostly incompressible gets a
// fast level for its rest: there the size of the whole hardly depends on it. Depends on the bytes so
// far alone. One thread.
class ChunkPlanner {
 public:
  // Absent: the default effort.
  explicit ChunkPlanner(std::optional<int> level) : level_(level) {}
  ChunkPlan plan(std::string_view chunk);

 private:
  std::optional<int> level_;
  std::uint64_t random_bytes_ = 0;
  std::uint64_t other_bytes_ = 0;
};

// One thread.
class GzipChunker {
 public:
  GzipChunker() = default;
  ~GzipChunker();
  GzipChunker(const GzipChunker&) = delete;
  GzipChunker& operator=(const GzipChunker&) = delete;

  // Appends the members of `chunk` to `out`. False only when memory is out.
  bool compress(std::string_view chunk, const ChunkPlan& plan, std::string& out);
  // Appends all of `bytes`, of any length, as one member.
  bool compress_whole(std::string_view bytes, int level, std::string& out) { return append_member(level, bytes, out); }

 private:
  bool append_member(int level, std::string_view bytes, std::string& out);
  std::array<libdeflate_compressor*, 10> compressors_{};  // by level, made when first needed
};

// Whether compressing the bytes would be labour lost: they look random and do not repeat themselves.
bool looks_incompressible(std::string_view bytes);

}  // namespace kiln::layer::internal
