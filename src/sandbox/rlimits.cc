#include "sandbox/rlimits.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/text.h"

namespace kiln::sandbox {
namespace {

struct Name {
  std::string_view name;
  int resource;
};
constexpr Name kNames[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK}};

rlim64_t limit_value(std::int64_t value) { return value < 0 ? RLIM64_INFINITY : static_cast<rlim64_t>(value); }

}  // namespace

Result<std::vector<ChildLimit>> child_limits(const std::vector<Ulimit>& ulimits) {
  const bool may_raise = has_capability(own_capabilities(), "CAP_SYS_RESOURCE");
  std::vector<ChildLimit> out;
  for (const Ulimit& ulimit : ulimits) {
    const Name* found = std::find_if(std::begin(kNames), std::end(kNames),
                                     [&](const Name& n) { return equals_ignore_case(n.name, ulimit.name); });
    if (found == std::end(kNames)) {
      return user_error(Code::kInvalidArgument, fmt::format("invalid ulimit type: {}", ulimit.name));
    }
    rlimit64 value{limit_value(ulimit.soft), limit_value(ulimit.hard)};
    rlimit64 own{};
    if (!may_raise && ::getrlimit64(static_cast<__rlimit_resource>(found->resource), &own) == 0) {
      value.rlim_max = std::min(value.rlim_max, own.rlim_max);
    }
    value.rlim_cur = std::min(value.rlim_cur, value.rlim_max);
    out.push_back({found->resource, value});
  }
  return out;
}

}  // namespace kiln::sandbox
