// Times that others told, in numbers of any size.
//
//   Time modified = timestamp(stamp.seconds(), stamp.nanos());
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace kiln {

// Seconds and nanoseconds since 1970 as a Time; the nearest one where a Time, which ends in the years 1677 and
// 2262, cannot hold it, and where the nanoseconds are more than a second. Any thread.
constexpr Time timestamp(std::int64_t seconds, std::int64_t nanoseconds = 0) {
  constexpr std::int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;
  return Time(std::chrono::duration_cast<Time::duration>(
      std::chrono::seconds(std::clamp(seconds, -kSecondsMax, kSecondsMax)) +
      std::chrono::nanoseconds(std::clamp<std::int64_t>(nanoseconds, 0, 999'999'999))));
}

}  // namespace kiln
