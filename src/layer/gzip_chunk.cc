#include "layer/internal/gzip_chunk.h"

#include <libdeflate.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace kiln::layer::internal {
namespace {

// Runs of segments are judged one by one: layers mix executables, archives and pictures.
constexpr std::size_t kSegmentBytes = 64 * 1024;
constexpr std::size_t kSampleBytes = 4096;
constexpr std::size_t kRepeatBytes = 16 * 1024;

// Magic, method deflate, no flags, no time, no extra flags, unknown system: what Go writes.
constexpr char kHeader[10] = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, '\xff'};

void append_u32(std::string& out, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xff);
}

bool histogram_is_flat(std::string_view sample) {
  std::array<std::uint32_t, 256> counts{};
  for (char c : sample) ++counts[static_cast<unsigned char>(c)];
  std::uint64_t squares = 0;
  for (std::uint32_t count : counts) squares += std::uint64_t{count} * count;
  // n random bytes give n*n/256 + n on average; compressed data lies within a few percent of that.
  std::uint64_t n = sample.size();
  return squares * 100 <= (n * n / 256 + n) * 108;
}

bool repeats_itself(std::string_view bytes) {
  std::array<std::uint16_t, 4096> last{};
  std::size_t hits = 0;
  for (std::size_t i = 0; i + 8 <= bytes.size(); ++i) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    std::uint64_t hash = word * 0x9e3779b97f4a7c15u;
    if ((hash >> 60) != 0) continue;  // every 16th position, the same ones wherever the content recurs
    auto& slot = last[hash >> 48 & 0xfff];
    std::uint64_t before;
    std::memcpy(&before, bytes.data() + slot, 8);
    if (slot < i && before == word) ++hits;
    slot = static_cast<std::uint16_t>(i);
  }
  return hits * 16 * 50 > bytes.size();
}

}  // namespace

bool looks_incompressible(std::string_view bytes) {
  if (bytes.size() < kSegmentBytes / 2) return false;
  std::size_t step = bytes.size() / 4;
  for (std::size_t at = 0; at + kSampleBytes <= bytes.size(); at += step) {
    if (!histogram_is_flat(bytes.substr(at, kSampleBytes))) return false;
  }
  return !repeats_itself(bytes.substr(0, kRepeatBytes));
}

GzipChunker::GzipChunker(int level)
    : compressor_(libdeflate_alloc_compressor(level)), storer_(libdeflate_alloc_compressor(0)) {}

GzipChunker::~GzipChunker() {
  libdeflate_free_compressor(compressor_);
  libdeflate_free_compressor(storer_);
}

bool GzipChunker::append_member(libdeflate_compressor* compressor, std::string_view bytes, std::string& out) {
  if (!compressor) return false;
  out.append(kHeader, sizeof kHeader);
  std::size_t at = out.size();
  std::size_t bound = libdeflate_deflate_compress_bound(compressor, bytes.size());
  out.resize(at + bound);
  std::size_t n = libdeflate_deflate_compress(compressor, bytes.data(), bytes.size(), out.data() + at, bound);
  out.resize(at + n);
  append_u32(out, libdeflate_crc32(0, bytes.data(), bytes.size()));
  append_u32(out, static_cast<std::uint32_t>(bytes.size()));
  return n > 0;
}

bool GzipChunker::compress(std::string_view chunk, std::string& out) {
  if (chunk.empty()) return append_member(compressor_, chunk, out);
  std::size_t run = 0;
  bool run_is_random = looks_incompressible(chunk.substr(0, kSegmentBytes));
  for (std::size_t at = kSegmentBytes; run < chunk.size(); at += kSegmentBytes) {
    bool at_end = at >= chunk.size();
    bool random = !at_end && looks_incompressible(chunk.substr(at, kSegmentBytes));
    if (!at_end && random == run_is_random) continue;
    std::size_t end = at_end ? chunk.size() : at;
    if (!append_member(run_is_random ? storer_ : compressor_, chunk.substr(run, end - run), out)) return false;
    run = end;
    run_is_random = random;
  }
  return true;
}

}  // namespace kiln::layer::internal
