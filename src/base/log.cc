#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <string>

#include "base/clock.h"
#include "base/json_text.h"

namespace kiln {
namespace {

std::atomic<LogLevel> g_level = LogLevel::kInfo;
std::atomic<LogFormat> g_format = LogFormat::kText;

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace: return "trace";
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarn: return "warning";
    case LogLevel::kError: return "error";
  }
  return "info";
}

// The time of day here, to the millisecond, and how far that is from UTC.
struct Stamp {
  std::string text;
  std::string zone;
};

Stamp stamp_of(Time time) {
  const auto since = time.time_since_epoch();
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(since).count() % 1000;
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32], zone[8];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const std::size_t zone_length = std::strftime(zone, sizeof zone, "%z", &parts);
  std::string colon(zone, zone_length);
  if (colon.size() == 5) colon.insert(3, ":");
  return {fmt::format("{}.{:03}", std::string_view(text, length), millis), colon};
}

}  // namespace

void set_log(LogLevel level, LogFormat format) {
  g_level = level;
  g_format = format;
}

bool log_enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

// One write a line, so that lines of several threads and processes never mix.
void log_line(LogLevel level, std::string_view message) {
  if (!log_enabled(level)) return;
  const Stamp stamp = stamp_of(system_clock().now());
  std::string line;
  if (g_format.load(std::memory_order_relaxed) == LogFormat::kJson) {
    line = fmt::format(R"({{"time":"{}{}","level":"{}","msg":)", stamp.text, stamp.zone, name_of(level));
    append_json_string(line, message);
    line += "}\n";
  } else {
    line = fmt::format("{} {} {}\n", stamp.text, name_of(level), message);
  }
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody can be told
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace kiln
