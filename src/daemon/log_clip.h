// Limits on what one stream of one step may tell: a size and a speed. What goes beyond is left out
// behind one notice; the last part of it is kept, so that a step that fails can still show its end.
//
//   std::string shown = clip.take(data, now);
//   if (failed) shown = clip.tail();
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace kiln::daemon {

// -1 = unlimited. Environment: BUILDKIT_STEP_LOG_MAX_SIZE, BUILDKIT_STEP_LOG_MAX_SPEED (a second).
struct LogLimits {
  std::int64_t bytes_max = 2 * 1024 * 1024;
  std::int64_t bytes_per_second_max = 200 * 1024;
  static LogLimits from_environment();
};

// One thread at a time.
class LogClip {
 public:
  LogClip(LogLimits limits, Time started) : limits_(limits), started_(started) {}
  // What of `data` may be shown, with the notice where showing stops.
  std::string take(std::string_view data, Time now);
  // The last 256 KiB told since clipping began; empty when nothing was clipped. Empties itself.
  std::string tail();

 private:
  struct Allowance {
    std::int64_t bytes = -1;  // in all; -1 = unlimited
    bool by_speed = false;
  };
  Allowance allowance(Time now) const;

  LogLimits limits_;
  Time started_;
  std::int64_t told_ = 0;
  bool clipping_ = false;
  bool keeping_ = false;
  std::string tail_;
};

}  // namespace kiln::daemon
