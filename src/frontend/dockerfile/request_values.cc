#include "frontend/dockerfile/request_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/value.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr std::int64_t kCpuIndexMax = 8192;

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

// The address as Go prints it; empty when it is none.
std::string canonical_ip(const std::string& text) {
  unsigned char bytes[16];
  char out[INET6_ADDRSTRLEN];
  if (inet_pton(AF_INET, text.c_str(), bytes) == 1) {
    return inet_ntop(AF_INET, bytes, out, sizeof out);
  }
  if (inet_pton(AF_INET6, text.c_str(), bytes) != 1) return "";
  const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(mapped, mapped + 12, bytes)) return inet_ntop(AF_INET, bytes + 12, out, sizeof out);
  return inet_ntop(AF_INET6, bytes, out, sizeof out);
}

const std::vector<std::string_view> kUlimitNames = {"core",    "cpu",      "data",   "fsize",      "locks",
                                                    "memlock", "msgqueue", "nice",   "nofile",     "nproc",
                                                    "rss",     "rtprio",   "rttime", "sigpending", "stack"};

Result<std::int64_t> number(std::string_view text) {
  if (auto value = parse_integer(text)) return *value;
  return invalid(fmt::format("parsing {}: invalid syntax", quote(text)));
}

Result<graph::Ulimit> read_ulimit(const std::string& field) {
  auto eq = field.find('=');
  if (eq == std::string::npos) return invalid("invalid ulimit argument: " + field);
  graph::Ulimit out{.name = field.substr(0, eq)};
  if (std::find(kUlimitNames.begin(), kUlimitNames.end(), out.name) == kUlimitNames.end()) {
    return invalid("invalid ulimit type: " + out.name);
  }
  const std::string value = field.substr(eq + 1);
  auto limits = split(value, ':');
  if (limits.size() > 2) {
    return invalid(fmt::format("too many limit value arguments - {}, can only have up to two, `soft[:hard]`", value));
  }
  KILN_ASSIGN_OR_RETURN(out.soft, number(limits[0]));
  out.hard = out.soft;
  if (limits.size() == 2) {
    KILN_ASSIGN_OR_RETURN(out.hard, number(limits[1]));
  }
  if (out.hard != -1 && (out.soft == -1 || out.soft > out.hard)) {
    return invalid(
        fmt::format("ulimit soft limit must be less than or equal to hard limit: {} > {}", out.soft, out.hard));
  }
  return out;
}

Status check_cpuset(std::string_view text) {
  for (std::string_view raw : split(text, ',')) {
    std::string_view part = trim(raw);
    if (part.empty()) continue;
    auto [low_text, high_text] = split_once(part, '-');
    const bool is_range = part.find('-') != std::string_view::npos;
    auto low = parse_integer(trim(low_text));
    auto high = is_range ? parse_integer(trim(high_text)) : low;
    if (!low || !high || *low < 0 || *high < *low) {
      return invalid(fmt::format("invalid cpuset {} {}", is_range ? "range" : "element", quote(part)));
    }
    if (*high > kCpuIndexMax) {
      return invalid(
          fmt::format("cpuset {} {} exceeds maximum {}", is_range ? "range" : "element", quote(part), kCpuIndexMax));
    }
  }
  return ok();
}

// A limit that is given must be a number above zero; `unlimited` allows -1.
template <typename T>
Status read_limit(const std::map<std::string, std::string>& opts, const char* key, bool unlimited, T& out) {
  auto it = opts.find(key);
  if (it == opts.end() || it->second.empty()) return ok();
  auto value = parse_integer(it->second);
  if (!value) return invalid(fmt::format("invalid {} value: {}: not a number", key, it->second));
  if (unlimited && (*value < -1 || *value == 0)) {
    return invalid(fmt::format("invalid {} value: {}: must be -1 (unlimited) or > 0", key, it->second));
  }
  if (!unlimited && *value <= 0) return invalid(fmt::format("invalid {} value: {}: must be > 0", key, it->second));
  out = static_cast<T>(*value);
  return ok();
}

Status read_set(const std::map<std::string, std::string>& opts, const char* key, std::string& out) {
  auto it = opts.find(key);
  if (it == opts.end() || it->second.empty()) return ok();
  auto status = check_cpuset(it->second);
  if (!status.ok()) return annotate(status, fmt::format("invalid {} value: {}", key, it->second));
  out = it->second;
  return ok();
}

Status add_imports(std::string_view text, std::vector<CacheImport>& out) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_array()) return invalid("not a JSON list");
  for (const auto& entry : json) {
    if (!entry.is_object()) return invalid("an entry is no object");
    CacheImport import;
    for (const auto& [key, value] : entry.items()) {
      const std::string name = to_lower(key);
      if (name == "type" && value.is_string()) import.type = value.get<std::string>();
      if (name != "attrs" || !value.is_object()) continue;
      for (const auto& [attr, content] : value.items()) {
        if (content.is_string()) import.attrs[attr] = content.get<std::string>();
      }
    }
    out.push_back(std::move(import));
  }
  return ok();
}

}  // namespace

Result<std::vector<Platform>> read_platforms(std::string_view text) {
  std::vector<Platform> out;
  for (std::string_view one : split(text, ',')) {
    auto platform = Platform::parse(one);
    if (!platform.ok()) return annotate(platform.status(), fmt::format("failed to parse target platform {}", one));
    out.push_back(platform->normalized());
  }
  return out;
}

Result<graph::build::ResolveMode> read_resolve_mode(std::string_view text) {
  if (text.empty() || text == "default") return graph::build::ResolveMode::kDefault;
  if (text == "pull") return graph::build::ResolveMode::kPull;
  if (text == "local") return graph::build::ResolveMode::kLocal;
  return invalid(fmt::format("invalid image-resolve-mode: {}", text));
}

Result<std::vector<graph::HostIp>> read_hosts(std::string_view text) {
  std::vector<graph::HostIp> out;
  if (text.empty()) return out;
  KILN_ASSIGN_OR_RETURN(auto fields, parse_csv(text));
  for (const auto& field : fields) {
    const std::string lower = to_lower(field);
    auto eq = lower.find('=');
    if (eq == std::string::npos) return invalid("invalid key-value pair " + field);
    const std::string value = lower.substr(eq + 1);
    std::string ip = canonical_ip(value);
    if (ip.empty()) return invalid("failed to parse IP " + value);
    out.push_back({lower.substr(0, eq), std::move(ip)});
  }
  return out;
}

Result<std::vector<graph::Ulimit>> read_ulimits(std::string_view text) {
  std::vector<graph::Ulimit> out;
  if (text.empty()) return out;
  KILN_ASSIGN_OR_RETURN(auto fields, parse_csv(text));
  for (const auto& field : fields) {
    KILN_ASSIGN_OR_RETURN(auto ulimit, read_ulimit(field));
    out.push_back(std::move(ulimit));
  }
  return out;
}

Result<graph::NetMode> read_network(std::string_view text) {
  if (text.empty() || text == "sandbox") return graph::NetMode::kSandbox;
  if (text == "none") return graph::NetMode::kNone;
  if (text == "host") return graph::NetMode::kHost;
  return invalid(fmt::format("invalid netmode {}", text));
}

Result<std::optional<graph::LinuxResources>> read_resources(const std::map<std::string, std::string>& opts) {
  graph::LinuxResources out;
  KILN_RETURN_IF_ERROR(read_limit(opts, "memory", false, out.memory));
  KILN_RETURN_IF_ERROR(read_limit(opts, "memswap", true, out.memory_swap));
  KILN_RETURN_IF_ERROR(read_limit(opts, "cpushares", false, out.cpu_shares));
  KILN_RETURN_IF_ERROR(read_limit(opts, "cpuperiod", false, out.cpu_period));
  KILN_RETURN_IF_ERROR(read_limit(opts, "cpuquota", false, out.cpu_quota));
  KILN_RETURN_IF_ERROR(read_set(opts, "cpusetcpus", out.cpuset_cpus));
  KILN_RETURN_IF_ERROR(read_set(opts, "cpusetmems", out.cpuset_mems));
  if (out == graph::LinuxResources{}) return std::optional<graph::LinuxResources>();
  return std::optional(out);
}

Result<std::vector<CacheImport>> read_cache_imports(std::string_view json, std::string_view references) {
  std::vector<CacheImport> out;
  if (!json.empty()) {
    auto status = add_imports(json, out);
    if (!status.ok()) return annotate(status, fmt::format("failed to unmarshal cache-imports ({})", quote(json)));
  }
  if (!references.empty()) {
    for (std::string_view ref : split(references, ',')) out.push_back({"registry", {{"ref", std::string(ref)}}});
  }
  return out;
}

}  // namespace kiln::frontend::dockerfile
