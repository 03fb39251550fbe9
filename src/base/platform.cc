#include "base/platform.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <array>
#include <cctype>

#include "base/quote.h"
#include "base/text.h"

namespace kiln {
namespace {

constexpr std::array kOsNames = {"aix",   "android", "darwin", "dragonfly", "freebsd", "illumos", "ios",     "js",
                                 "linux", "nacl",    "netbsd", "openbsd",   "plan9",   "solaris", "windows", "zos"};
constexpr std::array kArchNames = {"386",    "amd64",   "arm",      "arm64", "loong64", "mips",
                                   "mipsle", "mips64",  "mips64le", "ppc",   "ppc64",   "ppc64le",
                                   "riscv",  "riscv64", "s390",     "s390x", "wasm",    "sparc64"};

bool known_os(std::string_view name) {
  for (auto n : kOsNames)
    if (name == n) return true;
  return false;
}
bool known_arch(std::string_view name) {
  for (auto n : kArchNames)
    if (name == n) return true;
  return false;
}

void normalize_arch(std::string& arch, std::string& variant) {
  arch = to_lower(arch);
  variant = to_lower(variant);
  if (arch == "i386") {
    arch = "386";
    variant.clear();
  } else if (arch == "x86_64" || arch == "x86-64" || arch == "amd64") {
    arch = "amd64";
    if (variant == "v1") variant.clear();
  } else if (arch == "aarch64" || arch == "arm64") {
    arch = "arm64";
    if (variant == "8" || variant == "v8") variant.clear();
  } else if (arch == "armhf") {
    arch = "arm";
    variant = "v7";
  } else if (arch == "armel") {
    arch = "arm";
    variant = "v6";
  } else if (arch == "arm") {
    if (variant.empty() || variant == "7")
      variant = "v7";
    else if (variant == "5" || variant == "6" || variant == "8")
      variant = "v" + variant;
  }
}

Status invalid(std::string_view text, std::string_view why) {
  return user_error(Code::kInvalidArgument, fmt::format("{}: {}: invalid argument", quote(text), why));
}

bool valid_component(std::string_view part) {
  if (part.empty()) return false;
  for (char c : part) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-' && c != '.') return false;
  }
  return true;
}

// Splits "windows(10.0.1+feature)" into its parts.
Status parse_os(std::string_view text, std::string_view part, Platform& out) {
  std::string_view name = part, options;
  if (auto open = part.find('('); open != std::string_view::npos) {
    if (part.back() != ')') return invalid(text, "unbalanced parenthesis");
    name = part.substr(0, open);
    options = part.substr(open + 1, part.size() - open - 2);
  }
  if (!valid_component(name)) {
    return user_error(
        Code::kInvalidArgument,
        fmt::format(
            "\"{}\" is an invalid OS component of \"{}\": OSAndVersion specifier component must match "
            "\"^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.%-]*)((?:\\\\+[A-Za-z0-9_.%-]+)*)\\\\))?$\": invalid argument",
            part, text));
  }
  out.os = name;
  if (!options.empty()) {
    auto pieces = split(options, '+');
    out.os_version = pieces[0];
    out.os_features.assign(pieces.begin() + 1, pieces.end());
  }
  return ok();
}

}  // namespace

Platform Platform::host() {
  utsname name{};
  uname(&name);
  Platform out;
  out.os = "linux";
  out.architecture = name.machine;
  return out.normalized();
}

Platform Platform::normalized() const {
  Platform out = *this;
  out.os = to_lower(out.os);
  if (out.os == "macos") out.os = "darwin";
  normalize_arch(out.architecture, out.variant);
  return out;
}

Result<Platform> Platform::parse(std::string_view text) {
  std::vector<std::string_view> parts = split(text, '/');
  if (text.find('*') != std::string_view::npos) return invalid(text, "wildcards not yet supported");
  Platform out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && !valid_component(parts[i])) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("\"{}\" is an invalid component of \"{}\": platform specifier component must match "
                                    "\"^[A-Za-z0-9_.-]+$\": invalid argument",
                                    parts[i], text));
    }
  }
  KILN_RETURN_IF_ERROR(parse_os(text, parts[0], out));
  Platform self = host();
  if (parts.size() == 1) {
    std::string lower = to_lower(out.os);
    if (known_os(lower) || lower == "macos") {
      out.architecture = self.architecture;
      if (self.architecture == "arm") out.variant = self.variant;
      return out.normalized();
    }
    Platform arch;
    arch.os = self.os;
    arch.architecture = out.os;
    arch = arch.normalized();
    if (known_arch(arch.architecture)) return arch;
    return invalid(text, "unknown operating system or architecture");
  }
  if (parts.size() > 3) return invalid(text, "cannot parse platform specifier; expected os/architecture[/variant]");
  out.architecture = parts[1];
  if (parts.size() == 3) out.variant = parts[2];
  return out.normalized();
}

std::string Platform::str() const {
  if (os.empty()) return "unknown";
  std::string out = os;
  if (!architecture.empty()) out += "/" + architecture;
  if (!variant.empty()) out += "/" + variant;
  return out;
}

std::string Platform::str_full() const {
  if (os.empty()) return "unknown";
  if (os_version.empty() && os_features.empty()) return str();
  std::string out = fmt::format("{}({}", os, os_version);
  for (const auto& f : os_features) out += "+" + f;
  out += ")";
  if (!architecture.empty()) out += "/" + architecture;
  if (!variant.empty()) out += "/" + variant;
  return out;
}

bool Platform::same_as(const Platform& wanted) const {
  Platform a = normalized(), b = wanted.normalized();
  return a.os == b.os && a.architecture == b.architecture && a.variant == b.variant;
}

int best_platform(const std::vector<Platform>& have, const Platform& wanted_raw) {
  Platform wanted = wanted_raw.normalized();
  std::vector<Platform> order = {wanted};
  auto add = [&](std::string arch, std::string variant) {
    Platform p = wanted;
    p.architecture = std::move(arch);
    p.variant = std::move(variant);
    order.push_back(p.normalized());
  };
  if (wanted.architecture == "arm" && wanted.variant.size() == 2) {
    for (char v = static_cast<char>(wanted.variant[1] - 1); v >= '5'; --v) add("arm", std::string("v") + v);
  }
  if (wanted.architecture == "arm64") {
    for (char v = '8'; v >= '5'; --v) add("arm", std::string("v") + v);
  }
  if (wanted.architecture == "amd64") {
    if (wanted.variant.size() == 2) {
      for (char v = static_cast<char>(wanted.variant[1] - 1); v >= '1'; --v) add("amd64", std::string("v") + v);
    }
    add("386", "");
  }
  for (const auto& candidate : order) {
    for (std::size_t i = 0; i < have.size(); ++i) {
      if (!have[i].same_as(candidate)) continue;
      if (!wanted.os_version.empty() && !have[i].os_version.empty() && have[i].os_version != wanted.os_version)
        continue;
      return static_cast<int>(i);
    }
  }
  return -1;
}

}  // namespace kiln
