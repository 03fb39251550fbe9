#include "export/internal/platforms.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "content/image_config.h"

namespace kiln::exporter::internal {
namespace {

using Json = nlohmann::json;

Status invalid(std::string_view what) { return user_error(Code::kInvalidArgument, what); }

std::string text_of(const Json& object, const char* name) {
  auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Platform platform_of(const Json& object) {
  Platform platform;
  platform.architecture = text_of(object, "architecture");
  platform.os = text_of(object, "os");
  platform.os_version = text_of(object, "os.version");
  platform.variant = text_of(object, "variant");
  if (auto it = object.find("os.features"); it != object.end() && it->is_array()) {
    for (const Json& feature : *it) {
      if (feature.is_string()) platform.os_features.push_back(feature.get<std::string>());
    }
  }
  return platform;
}

Result<std::vector<ResultPlatform>> parse_mapping(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  auto list = json.is_object() ? json.find("Platforms") : json.end();
  if (!json.is_object() || list == json.end() || !list->is_array() || list->empty()) {
    return invalid("invalid empty platforms index for exporter");
  }
  std::vector<ResultPlatform> platforms;
  for (const Json& item : *list) {
    if (!item.is_object()) return invalid("invalid platform value for exporter");
    ResultPlatform p;
    p.id = text_of(item, "ID");
    if (auto it = item.find("Platform"); it != item.end() && it->is_object()) p.platform = platform_of(*it);
    if (p.id.empty()) return invalid("invalid empty platform key for exporter");
    if (p.platform.os.empty() || p.platform.architecture.empty()) {
      return invalid(fmt::format("invalid platform value {} for exporter", p.platform.str_full()));
    }
    p.platform = p.platform.normalized();
    platforms.push_back(std::move(p));
  }
  return platforms;
}

}  // namespace

Result<std::vector<ResultPlatform>> platforms_of(const BuildResult& result) {
  if (auto it = result.metadata.find("refs.platforms"); it != result.metadata.end()) return parse_mapping(it->second);
  Platform platform;
  if (auto it = result.metadata.find("containerimage.config"); it != result.metadata.end()) {
    KILN_ASSIGN_OR_RETURN(auto config, content::parse_image_config(it->second));
    if (config.platform.os.empty() != config.platform.architecture.empty()) {
      return invalid("invalid image config: os and architecture must be specified together");
    }
    platform = config.platform;
  } else {
    platform = Platform::host();
  }
  platform = platform.normalized();
  return std::vector<ResultPlatform>{{platform.str_full(), platform}};
}

std::string metadata_for(const BuildResult& result, const std::string& key, const std::string& id) {
  auto it = id.empty() ? result.metadata.end() : result.metadata.find(fmt::format("{}/{}", key, id));
  if (it == result.metadata.end()) it = result.metadata.find(key);
  return it == result.metadata.end() ? std::string() : it->second;
}

Result<store::TreeRef> tree_for(const BuildResult& result, const std::string& id) {
  if (!result.is_map()) return result.tree;
  auto it = result.trees.find(id);
  if (it == result.trees.end()) {
    return user_error(Code::kFailedPrecondition, fmt::format("failed to find ref for ID {}", id));
  }
  return it->second;
}

Status check_platforms(const BuildResult& result, const std::vector<ResultPlatform>& platforms) {
  if (result.is_map() && !result.metadata.contains("refs.platforms")) {
    return user_error(Code::kFailedPrecondition, "unable to export multiple refs, missing platforms mapping");
  }
  if (!result.is_map() && platforms.size() > 1) {
    return user_error(Code::kFailedPrecondition, "unable to export multiple platforms without map");
  }
  return ok();
}

const std::vector<Attestation>& attestations_for(const BuildResult& result, const std::string& id) {
  static const std::vector<Attestation> kNone;
  auto it = result.attestations.find(id);
  if (it == result.attestations.end() && !result.is_map()) it = result.attestations.find("");
  return it == result.attestations.end() ? kNone : it->second;
}

}  // namespace kiln::exporter::internal
