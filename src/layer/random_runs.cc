#include "layer/internal/random_runs.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace kiln::layer::internal {
namespace {

constexpr std::size_t kSampleBytes = 4096;
constexpr std::size_t kRepeatBytes = 16 * 1024;

bool histogram_is_flat(std::string_view sample) {
  // Four counts side by side: one would wait for itself where a byte follows its like.
  std::array<std::array<std::uint16_t, 256>, 4> counts{};
  for (std::size_t i = 0; i < sample.size(); ++i) ++counts[i % 4][static_cast<unsigned char>(sample[i])];
  std::uint64_t squares = 0;
  for (std::size_t i = 0; i < 256; ++i) {
    std::uint64_t count = counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
    squares += count * count;
  }
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

std::vector<Run> random_runs(std::string_view chunk) {
  std::vector<Run> runs;
  for (std::size_t at = 0; at < chunk.size(); at += kSegmentBytes) {
    std::string_view segment = chunk.substr(at, kSegmentBytes);
    bool random = looks_incompressible(segment);
    if (!runs.empty() && runs.back().random == random) {
      segment = chunk.substr(at - runs.back().bytes.size(), runs.back().bytes.size() + segment.size());
      runs.pop_back();
    }
    runs.push_back({segment, random});
  }
  return runs;
}

std::string_view typical_part(const std::vector<Run>& runs, std::size_t bytes_max) {
  std::string_view longest;
  for (const Run& run : runs) {
    if (!run.random && run.bytes.size() > longest.size()) longest = run.bytes;
  }
  std::size_t before = longest.size() > bytes_max ? (longest.size() - bytes_max) / 2 : 0;
  return longest.substr(before, bytes_max);
}

}  // namespace kiln::layer::internal
