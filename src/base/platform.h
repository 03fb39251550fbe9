// os/architecture[/variant], as images, graphs and requests name it.
//
//   KILN_ASSIGN_OR_RETURN(Platform p, Platform::parse("linux/arm64"));
//   if (!p.matches(wanted)) ...
//
// Normalisation follows containerd's platforms package: x86_64→amd64, aarch64→arm64 (variant v8
// dropped), armhf→arm/v7, i386→386, macos→darwin; variant of arm defaults to v7.
#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln {

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
  std::string os_version;
  std::vector<std::string> os_features;

  // "linux/amd64", "linux/arm/v7", "amd64" (os of this machine), "linux" (this machine's
  // architecture), "windows(10.0.17763)/amd64". InvalidArgument otherwise.
  static Result<Platform> parse(std::string_view text);
  static Platform host();

  Platform normalized() const;
  // "linux/arm/v7"; without os version.
  std::string str() const;
  // "windows(10.0.17763)/amd64": with os version and features when present.
  std::string str_full() const;
  // Whether an image or worker of this platform serves `wanted` exactly (normalised comparison).
  bool same_as(const Platform& wanted) const;

  bool empty() const { return os.empty() && architecture.empty(); }
  auto operator<=>(const Platform&) const = default;
  bool operator==(const Platform&) const = default;
};

// Index of the entry that suits `wanted` best, or -1: exact variant first, then older arm variants
// (v7→v6→v5), as containerd's Only matcher orders them.
int best_platform(const std::vector<Platform>& have, const Platform& wanted);

}  // namespace kiln
