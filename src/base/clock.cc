#include "base/clock.h"

#include <absl/time/time.h>
#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/quote.h"

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

namespace {

constexpr std::uint64_t kDurationMax = std::uint64_t{1} << 63;  // in nanoseconds, of a negative one

std::optional<std::uint64_t> unit_of(std::string_view name) {
  constexpr std::pair<std::string_view, std::uint64_t> kUnits[] = {
      {"ns", 1},         {"us", 1'000},        {"\u00b5s", 1'000},    {"\u03bcs", 1'000},
      {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000},
  };
  for (const auto& [unit, size] : kUnits) {
    if (unit == name) return size;
  }
  return std::nullopt;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes "1.5h", one of the pieces of a duration, off the text.
class DurationPiece {
 public:
  explicit DurationPiece(std::string_view& rest) : rest_(rest) {}

  // Nanoseconds; else what is wrong, as Go words it before `duration "…"`.
  Result<std::uint64_t> take() {
    const std::size_t before = rest_.size();
    if (!take_whole()) return fault("invalid");
    std::size_t digits = before - rest_.size();
    if (!rest_.empty() && rest_[0] == '.') digits += take_fraction();
    if (digits == 0) return fault("invalid");
    std::size_t size = 0;
    while (size < rest_.size() && rest_[size] != '.' && !is_digit(rest_[size])) ++size;
    if (size == 0) return fault("missing unit in");
    const std::optional<std::uint64_t> unit = unit_of(rest_.substr(0, size));
    if (!unit) return fault(fmt::format("unknown unit {} in", quote(rest_.substr(0, size))));
    rest_.remove_prefix(size);
    if (whole_ > kDurationMax / *unit) return fault("invalid");
    const auto part = static_cast<std::uint64_t>(fraction_ * (static_cast<double>(*unit) / scale_));
    return whole_ * *unit + part;
  }

 private:
  static Status fault(std::string_view what) { return user_error(Code::kInvalidArgument, what); }

  bool take_whole() {
    for (; !rest_.empty() && is_digit(rest_[0]); rest_.remove_prefix(1)) {
      if (whole_ > kDurationMax / 10) return false;
      whole_ = whole_ * 10 + static_cast<std::uint64_t>(rest_[0] - '0');
    }
    return whole_ <= kDurationMax;
  }

  std::size_t take_fraction() {
    rest_.remove_prefix(1);
    std::size_t digits = 0;
    for (; !rest_.empty() && is_digit(rest_[0]); rest_.remove_prefix(1), ++digits) {
      if (digits >= 18) continue;  // below a nanosecond of an hour
      fraction_ = fraction_ * 10 + (rest_[0] - '0');
      scale_ *= 10;
    }
    return digits;
  }

  std::string_view& rest_;
  std::uint64_t whole_ = 0;
  double fraction_ = 0;
  double scale_ = 1;
};

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  const auto fault = [text](std::string_view what) {
    return user_error(Code::kInvalidArgument, fmt::format("time: {} duration {}", what, quote(text)));
  };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return Duration{};
  if (rest.empty()) return fault("invalid");
  std::uint64_t sum = 0;
  while (!rest.empty()) {
    const Result<std::uint64_t> piece = DurationPiece(rest).take();
    if (!piece.ok()) return fault(message_of(piece.status()));
    if (*piece > kDurationMax - sum) return fault("invalid");
    sum += *piece;
  }
  if (negative) return Duration(static_cast<std::int64_t>(0 - sum));
  if (sum == kDurationMax) return fault("invalid");
  return Duration(static_cast<std::int64_t>(sum));
}

}  // namespace kiln
