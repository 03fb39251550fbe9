#include "store/gc.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace kiln::store {

namespace {

constexpr std::int64_t kGigabyte = 1'000'000'000;
constexpr std::int64_t kGibibyte = 1 << 30;

bool unset(const GcLimits& limits) {
  return limits.reserved.empty() && limits.max_used.empty() && limits.min_free.empty();
}

// The smaller of a part of the disk and a fixed size.
SpaceLimit at_most(std::int64_t percent, std::int64_t bytes, const host::DiskSpace& disk) {
  SpaceLimit part{0, percent};
  return part.of(disk) > bytes ? SpaceLimit{bytes, 0} : part;
}

}  // namespace

std::int64_t SpaceLimit::of(const host::DiskSpace& disk) const {
  if (bytes != 0) return bytes;
  if (percent == 0) return 0;
  if (disk.total == 0) return 2 * kGigabyte;
  return (disk.total * percent / 100 / kGibibyte + 1) * kGigabyte;
}

Result<SpaceLimit> parse_space_limit(std::string_view text) {
  auto invalid = [&] {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid disk space '{}'; use bytes, a size as '512MB' or '10GiB', or '20%'", text));
  };
  std::string_view rest = trim(text);
  if (rest.empty()) return SpaceLimit{};
  double number = 0;
  auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc() || number < 0) return invalid();
  std::string unit = to_lower(trim(rest.substr(static_cast<std::size_t>(end - rest.data()))));
  if (unit == "%") {
    if (number != static_cast<double>(static_cast<std::int64_t>(number))) return invalid();
    return SpaceLimit{0, static_cast<std::int64_t>(number)};
  }
  if (unit.empty() || unit == "b") return SpaceLimit{static_cast<std::int64_t>(number), 0};
  std::size_t power = std::string_view("kmgtp").find(unit[0]);
  std::string_view tail = std::string_view(unit).substr(1);
  if (power == std::string_view::npos || !(tail.empty() || tail == "b" || tail == "ib")) return invalid();
  for (std::size_t i = 0; i <= power; ++i) number *= 1024;
  if (number > 9.2e18) return invalid();
  return SpaceLimit{static_cast<std::int64_t>(number), 0};
}

std::vector<PruneOptions> default_gc_policy(GcLimits limits, const host::DiskSpace& disk) {
  if (unset(limits)) {
    limits.reserved = at_most(10, 10 * kGigabyte, disk);
    limits.min_free = {0, 20};
    limits.max_used = at_most(80, 100 * kGigabyte, disk);
  }
  constexpr std::chrono::hours kHour(1);
  PruneOptions reproducible;  // what is easily made again, soon
  reproducible.filters = {"type==source.local", "type==exec.cachemount", "type==source.git.checkout"};
  reproducible.keep_duration = 48 * kHour;
  reproducible.max_used_space = 512'000'000;
  PruneOptions unshared;
  unshared.reserved_space = limits.reserved.of(disk);
  unshared.max_used_space = limits.max_used.of(disk);
  unshared.min_free_space = limits.min_free.of(disk);
  PruneOptions old = unshared;
  old.keep_duration = 60 * 24 * kHour;
  PruneOptions everything = unshared;
  everything.all = true;
  return {reproducible, old, unshared, everything};
}

std::int64_t bytes_to_keep(const PruneOptions& rule, std::int64_t total, const host::DiskSpace& disk) {
  if (rule.max_used_space == 0 && rule.reserved_space == 0 && rule.min_free_space == 0) return 0;
  std::int64_t keep = rule.max_used_space;
  if (std::int64_t excess = rule.min_free_space - disk.free; excess > 0) {
    keep = keep == 0 ? total - excess : std::min(keep, total - excess);
  } else if (rule.min_free_space != 0 && keep == 0) {
    keep = total;
  }
  return std::max(keep, rule.reserved_space);
}

}  // namespace kiln::store
