#include "export/platform_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/quote.h"
#include "base/text.h"
#include "export/internal/platforms.h"

namespace kiln::exporter {
namespace {

using Names = std::set<std::string>;

std::string list(const Names& names) { return join(std::vector<std::string>(names.begin(), names.end()), ","); }

// What was asked for, normalized; or what is wrong with it.
Names read_requested(std::string_view requested, std::vector<std::string>& warnings) {
  Names names;
  for (std::string_view text : split(requested, ',')) {
    Result<Platform> platform = Platform::parse(text);
    if (!platform.ok()) {
      warnings.push_back(
          fmt::format("Invalid platform result requested {}: {}", quote(text), message_of(platform.status())));
    } else if (!names.insert(platform->normalized().str_full()).second) {
      warnings.push_back(fmt::format("Duplicate platform result requested {}", quote(text)));
    }
  }
  return names;
}

}  // namespace

std::vector<std::string> platform_warnings(const BuildResult& result, std::string_view requested) {
  if (!result.metadata.contains("refs.platforms") && !result.is_map() && result.tree == nullptr) return {};
  Result<std::vector<internal::ResultPlatform>> platforms = internal::platforms_of(result);
  if (!platforms.ok()) return {};  // exporters say so
  std::vector<std::string> warnings;
  const std::string host = Platform::host().normalized().str_full();
  if (requested.empty()) requested = host;
  const Names wanted = read_requested(requested, warnings);
  if (!warnings.empty()) return warnings;
  Names found;
  for (const auto& one : *platforms) found.insert(one.platform.normalized().str_full());
  if (wanted == found) return {};
  if (wanted.size() == 1 && found.size() == 1) {
    // A result may know the version of its system where nobody asked for one.
    Platform without_version = platforms->front().platform.normalized();
    without_version.os_version.clear();
    if (wanted.contains(without_version.str_full())) return {};
    return {fmt::format("Requested platform {} does not match result platform {}", quote(requested),
                        quote(*found.begin()))};
  }
  if (!result.is_map() && wanted.size() > 1) return {"Multiple platforms requested but result is not multi-platform"};
  return {fmt::format("Requested platforms {} do not match result platforms {}", list(wanted), list(found))};
}

}  // namespace kiln::exporter
