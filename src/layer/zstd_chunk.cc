#include "layer/internal/zstd_chunk.h"

#include <zstd.h>

#include <algorithm>
#include <cstdint>

#include "layer/internal/random_runs.h"

namespace kiln::layer::internal {
namespace {

constexpr int kDefaultLevel = 3;
// Half as fast again, and on plain text no larger; on machine code some percent. Taken when a sample
// grows by less than half a percent.
constexpr int kHastyLevel = 2;
constexpr std::size_t kSampleBytes = 64 * 1024;

constexpr std::size_t kBlockBytes = 128 * 1024;

void append_le(std::string& out, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

}  // namespace

void append_stored_frame(std::string_view bytes, std::string& out) {
  append_le(out, ZSTD_MAGICNUMBER, 4);
  out += '\xa0';  // the content's size in four bytes, a single segment, no checksum, no dictionary
  append_le(out, static_cast<std::uint32_t>(bytes.size()), 4);
  while (!bytes.empty()) {
    std::string_view block = bytes.substr(0, kBlockBytes);
    bytes.remove_prefix(block.size());
    append_le(out, static_cast<std::uint32_t>(block.size()) << 3 | (bytes.empty() ? 1 : 0), 3);  // type 0: raw
    out.append(block);
  }
}

ZstdChunker::ZstdChunker() : context_(ZSTD_createCCtx()) {
  if (context_) ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
}

ZstdChunker::~ZstdChunker() { ZSTD_freeCCtx(context_); }

int ZstdChunker::level_for(std::string_view sample) {
  const std::size_t fast = frame(kHastyLevel, sample).size(), small = frame(kDefaultLevel, sample).size();
  return fast * 1000 <= small * 1005 ? kHastyLevel : kDefaultLevel;
}

// In scratch_; nothing when memory is out.
std::string_view ZstdChunker::frame(int level, std::string_view bytes) {
  if (!context_) return {};
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
  // Grows only: a string that is made larger is filled with zeros first.
  std::size_t bound = ZSTD_compressBound(bytes.size());
  if (scratch_.size() < bound) scratch_.resize(bound);
  std::size_t n = ZSTD_compress2(context_, scratch_.data(), scratch_.size(), bytes.data(), bytes.size());
  return std::string_view(scratch_).substr(0, ZSTD_isError(n) ? 0 : n);
}

bool ZstdChunker::append_frame(int level, std::string_view bytes, std::string& out) {
  std::string_view packed = frame(level, bytes);
  out.append(packed);
  return !packed.empty();
}

bool ZstdChunker::pack(std::string_view chunk, std::string& out) {
  if (chunk.empty()) return append_frame(kDefaultLevel, chunk, out);
  const std::vector<Run> runs = random_runs(chunk);
  const std::string_view sample = typical_part(runs, kSampleBytes);
  const int level = sample.empty() ? kDefaultLevel : level_for(sample);
  for (const Run& run : runs) {
    if (run.random) {
      append_stored_frame(run.bytes, out);
    } else if (!append_frame(level, run.bytes, out)) {
      return false;
    }
  }
  return true;
}

}  // namespace kiln::layer::internal
