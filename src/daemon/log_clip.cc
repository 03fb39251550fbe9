#include "daemon/log_clip.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace kiln::daemon {
namespace {

constexpr std::size_t kTailBytes = 256 * 1024;

void read_limit(const char* name, std::int64_t& limit) {
  const char* text = std::getenv(name);
  if (text == nullptr) return;
  const std::string_view view(text);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error == std::errc() && end == view.data() + view.size()) limit = value;
}

// "2MiB", "200KiB", "1.5KiB".
std::string bytes_text(std::int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.4g}{}", value, kUnits[unit]);
}

}  // namespace

LogLimits LogLimits::from_environment() {
  LogLimits limits;
  read_limit("BUILDKIT_STEP_LOG_MAX_SIZE", limits.bytes_max);
  read_limit("BUILDKIT_STEP_LOG_MAX_SPEED", limits.bytes_per_second_max);
  return limits;
}

LogClip::Allowance LogClip::allowance(Time now) const {
  Allowance out;
  if (limits_.bytes_per_second_max >= 0) {
    const std::int64_t seconds = std::chrono::ceil<std::chrono::seconds>(now - started_).count();
    out = {std::max<std::int64_t>(seconds, 1) * limits_.bytes_per_second_max, true};
  }
  if (limits_.bytes_max >= 0 && (out.bytes < 0 || out.bytes > limits_.bytes_max)) out = {limits_.bytes_max, false};
  return out;
}

std::string LogClip::take(std::string_view data, Time now) {
  const Allowance allowed = allowance(now);
  const std::int64_t before = told_;
  told_ += static_cast<std::int64_t>(data.size());
  const bool fits = allowed.bytes < 0 || told_ <= allowed.bytes;
  if (!fits) keeping_ = true;
  if (keeping_) {
    tail_.append(data);
    if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  }
  if (fits) {
    clipping_ = false;
    return std::string(data);
  }
  std::string shown(data.substr(0, static_cast<std::size_t>(std::max<std::int64_t>(allowed.bytes - before, 0))));
  if (!clipping_) {
    clipping_ = true;
    shown += allowed.by_speed
                 ? fmt::format("\n[output clipped, log limit {}/s reached]\n", bytes_text(limits_.bytes_per_second_max))
                 : fmt::format("\n[output clipped, log limit {} reached]\n", bytes_text(limits_.bytes_max));
  }
  return shown;
}

std::string LogClip::tail() {
  if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  keeping_ = false;
  return std::exchange(tail_, {});
}

}  // namespace kiln::daemon
