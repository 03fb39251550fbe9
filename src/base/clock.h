// Time through a port, so that tests wind it by hand.
//
//   Clock& clock = system_clock();
//   Time now = clock.now();
#pragma once

#include <atomic>
#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kiln {

using Time = std::chrono::system_clock::time_point;  // wall clock, UTC
using Duration = std::chrono::nanoseconds;

// Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
};

// The machine's clock; lives for the whole program.
Clock& system_clock();

// A clock wound by hand, for tests.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = Time{}) : now_(start.time_since_epoch().count()) {}
  Time now() const override { return Time(Time::duration(now_.load())); }
  void advance(Duration by) { now_ += std::chrono::duration_cast<Time::duration>(by).count(); }

 private:
  std::atomic<Time::duration::rep> now_;
};

// Waits for the duration or until stop is requested; Cancelled in the latter case.
Status wait_for(std::stop_token stop, Duration duration);

// RFC 3339 with nanoseconds as Go prints it: "2026-11-23T08:32:00.5Z" (no trailing zeros).
std::string format_rfc3339(Time time);
Result<Time> parse_rfc3339(std::string_view text);

// Go's duration syntax: "1h2m3.5s", "300ms"; InvalidArgument otherwise.
Result<Duration> parse_duration(std::string_view text);

}  // namespace kiln
