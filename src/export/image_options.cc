#include "export/internal/image_options.h"

#include <fmt/format.h>

#include <charconv>

namespace kiln::exporter::internal {
namespace {

Status invalid(std::string_view what) { return user_error(Code::kInvalidArgument, what); }

struct AnnotationKey {
  std::string place;
  std::string platform;  // normalised; "" is all
  std::string key;
};

bool all_of(std::string_view text, std::string_view more) {
  for (char c : text) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && more.find(c) == std::string_view::npos) return false;
  }
  return !text.empty();
}

// annotation[-place]['['platform']'].key — absent when the text has another form.
Result<std::optional<AnnotationKey>> parse_annotation(std::string_view text) {
  constexpr std::string_view kPrefix = "annotation";
  if (!text.starts_with(kPrefix)) return std::optional<AnnotationKey>();
  text.remove_prefix(kPrefix.size());
  AnnotationKey key;
  if (text.starts_with('-')) {
    auto end = text.find_first_of("[.", 1);
    std::string_view place = text.substr(1, end == std::string_view::npos ? end : end - 1);
    if (end == std::string_view::npos || place.empty() ||
        place.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") != std::string_view::npos) {
      return std::optional<AnnotationKey>();
    }
    key.place = place;
    text.remove_prefix(end);
  }
  if (text.starts_with('[')) {
    auto end = text.find(']');
    if (end == std::string_view::npos || !all_of(text.substr(1, end - 1), "_/-")) return std::optional<AnnotationKey>();
    key.platform = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  }
  if (!text.starts_with('.') || text.size() < 2 || text.find_first_of(" \t\n\r\f") != std::string_view::npos) {
    return std::optional<AnnotationKey>();
  }
  key.key = text.substr(1);
  if (key.place.empty()) key.place = "manifest";
  if (!key.platform.empty()) {
    KILN_ASSIGN_OR_RETURN(Platform platform, Platform::parse(key.platform));
    key.platform = platform.str_full();
  }
  return std::optional<AnnotationKey>(std::move(key));
}

StringMap* place_of(Annotations& annotations, std::string_view place) {
  if (place == "index") return &annotations.index;
  if (place == "index-descriptor") return &annotations.index_descriptor;
  if (place == "manifest") return &annotations.manifest;
  if (place == "manifest-descriptor") return &annotations.manifest_descriptor;
  return nullptr;
}

void overlay(StringMap& onto, const StringMap& from) {
  for (const auto& [key, value] : from) onto[key] = value;
}

Status take_compression(Attrs& attrs, ImageOptions& options) {
  if (auto node = attrs.extract("compression"); !node.empty()) {
    auto type = layer::parse_compression(node.mapped());
    if (!type.ok()) return invalid(fmt::format("unsupported compression type {}", node.mapped()));
    options.compression.type = *type;
    options.compression_said = true;
  }
  if (auto node = attrs.extract("force-compression"); !node.empty()) {
    auto force = node.mapped().empty() ? std::optional<bool>(true) : parse_bool(node.mapped());
    if (!force) {
      return invalid(
          fmt::format("non-bool value {} specified for force-compression: strconv.ParseBool: parsing \"{}\": "
                      "invalid syntax",
                      node.mapped(), node.mapped()));
    }
    options.force_compression = *force;
  }
  if (auto node = attrs.extract("compression-level"); !node.empty()) {
    const std::string& text = node.mapped();
    int level = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), level);
    if (error != std::errc() || end != text.data() + text.size()) {
      return invalid(
          fmt::format("non-integer value {} specified for compression-level: strconv.ParseInt: parsing "
                      "\"{}\": invalid syntax",
                      text, text));
    }
    options.compression.level = level;
  }
  return ok();
}

Status take_bool(Attrs& attrs, const char* key, bool& out) {
  auto node = attrs.extract(key);
  if (node.empty()) return ok();
  KILN_ASSIGN_OR_RETURN(out, bool_attr(key, node.mapped()));
  return ok();
}

Status take_bool(Attrs& attrs, const char* key, std::optional<bool>& out) {
  auto node = attrs.extract(key);
  if (node.empty()) return ok();
  KILN_ASSIGN_OR_RETURN(out, bool_attr(key, node.mapped()));
  return ok();
}

}  // namespace

Result<AnnotationGroup> AnnotationGroup::take(Attrs& attrs) {
  AnnotationGroup group;
  for (auto it = attrs.begin(); it != attrs.end();) {
    KILN_ASSIGN_OR_RETURN(auto key, parse_annotation(it->first));
    if (!key) {
      ++it;
      continue;
    }
    StringMap* place = place_of(group.groups_[key->platform], key->place);
    if (!place) return invalid(fmt::format("unrecognized annotation type {}", key->place));
    (*place)[key->key] = it->second;
    it = attrs.erase(it);
  }
  return group;
}

void AnnotationGroup::merge(const AnnotationGroup& other) {
  for (const auto& [platform, from] : other.groups_) {
    Annotations& onto = groups_[platform];
    overlay(onto.index, from.index);
    overlay(onto.index_descriptor, from.index_descriptor);
    overlay(onto.manifest, from.manifest);
    overlay(onto.manifest_descriptor, from.manifest_descriptor);
  }
}

Annotations AnnotationGroup::for_platform(const Platform* platform) const {
  Annotations out;
  for (const auto& [id, from] : groups_) {
    overlay(out.index, from.index);
    overlay(out.index_descriptor, from.index_descriptor);
  }
  std::vector<std::string> ids = {""};
  if (platform) ids.push_back(platform->str_full());
  for (const auto& id : ids) {
    auto it = groups_.find(id);
    if (it == groups_.end()) continue;
    overlay(out.manifest, it->second.manifest);
    overlay(out.manifest_descriptor, it->second.manifest_descriptor);
  }
  return out;
}

Result<ImageOptions> ImageOptions::take(Attrs& attrs) {
  ImageOptions options;
  KILN_ASSIGN_OR_RETURN(options.annotations, AnnotationGroup::take(attrs));
  KILN_ASSIGN_OR_RETURN(options.epoch, take_epoch(attrs));
  KILN_RETURN_IF_ERROR(take_compression(attrs, options));
  if (auto node = attrs.extract("name"); !node.empty()) options.name = node.mapped();
  KILN_RETURN_IF_ERROR(take_bool(attrs, "oci-mediatypes", options.oci_types));
  KILN_RETURN_IF_ERROR(take_bool(attrs, "oci-artifact", options.oci_artifact));
  KILN_RETURN_IF_ERROR(take_bool(attrs, "attestation-inline", options.inline_attestations));
  KILN_RETURN_IF_ERROR(take_bool(attrs, "prefer-nondist-layers", options.prefer_nondistributable));
  KILN_RETURN_IF_ERROR(take_bool(attrs, "rewrite-timestamp", options.rewrite_timestamp));
  if (options.oci_types) KILN_RETURN_IF_ERROR(options.check());
  return options;
}

Status ImageOptions::check() const {
  if (!oci_types || *oci_types) return ok();
  if (compression.type == layer::Compression::kEstargz) {
    return invalid("exporter option \"compression=estargz\" conflicts with \"oci-mediatypes=false\"");
  }
  if (artifact()) return invalid("exporter option \"oci-artifact=true\" conflicts with \"oci-mediatypes=false\"");
  return ok();
}

store::LayerOptions ImageOptions::layer_options() const {
  store::LayerOptions out;
  out.compression = compression;
  out.force_compression = force_compression;
  out.fetch = fetch_layers;
  return out;
}

}  // namespace kiln::exporter::internal
