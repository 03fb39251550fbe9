// What of a layer is worth compressing: archives, pictures and keys in it are not, and a compressor takes
// long to find that out. Pure functions of the bytes.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace kiln::layer::internal {

inline constexpr std::size_t kSegmentBytes = 128 * 1024;

// Whether compressing the bytes would be labour lost: they look random and do not repeat themselves.
// Less than half a segment never does.
bool looks_incompressible(std::string_view bytes);

struct Run {
  std::string_view bytes;
  bool random = false;  // to be stored as it is
};

// Cuts a chunk into runs of segments of one kind; together they are the chunk.
std::vector<Run> random_runs(std::string_view chunk);

// Up to `bytes_max` from the middle of the longest run that is worth compressing, where it is typical of it;
// nothing when there is none.
std::string_view typical_part(const std::vector<Run>& runs, std::size_t bytes_max);

}  // namespace kiln::layer::internal
