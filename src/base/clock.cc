#include "base/clock.h"

#include <absl/time/time.h>
#include <fmt/format.h>

#include <condition_variable>
#include <mutex>

namespace kiln {
namespace {

class SystemClock final : public Clock {
 public:
  Time now() const override { return std::chrono::system_clock::now(); }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

Status wait_for(std::stop_token stop, Duration duration) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  if (wake.wait_for(lock, stop, duration, [&] { return stop.stop_requested(); })) return cancelled();
  return stop.stop_requested() ? cancelled() : ok();
}

std::string format_rfc3339(Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

Result<Time> parse_rfc3339(std::string_view text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, {text.data(), text.size()}, &time, &error)) {
    return user_error(Code::kInvalidArgument, fmt::format("invalid time '{}': {}", text, error));
  }
  return absl::ToChronoTime(time);
}

Result<Duration> parse_duration(std::string_view text) {
  absl::Duration duration;
  if (text.empty() || !absl::ParseDuration({text.data(), text.size()}, &duration)) {
    return user_error(Code::kInvalidArgument, fmt::format("time: invalid duration \"{}\"", text));
  }
  return absl::ToChronoNanoseconds(duration);
}

}  // namespace kiln
