// Dates of HTTP headers.
#include <fmt/format.h>

#include <ctime>

#include "base/text.h"
#include "base/timestamp.h"
#include "source/http_source.h"

namespace kiln::source {

std::optional<Time> parse_http_time(std::string_view text) {
  std::string value(trim(text));
  if (value.empty()) return std::nullopt;
  for (const char* form : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S UTC",
                           "%a %b %e %H:%M:%S %Y"}) {
    std::tm parts{};
    const char* end = ::strptime(value.c_str(), form, &parts);
    if (end != nullptr && *end == '\0') return timestamp(::timegm(&parts));
  }
  return std::nullopt;
}

std::string format_http_time(Time time) {
  std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace kiln::source
