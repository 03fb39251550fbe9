// What can be said about an image that is exported, whichever way it leaves (EX-010 to EX-023).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/platform.h"
#include "base/status.h"
#include "content/descriptor.h"
#include "export/exporter.h"
#include "export/internal/attrs.h"
#include "layer/compression.h"

namespace kiln::exporter::internal {

using content::StringMap;

// OCI annotations at their four places.
struct Annotations {
  StringMap index;
  StringMap index_descriptor;
  StringMap manifest;
  StringMap manifest_descriptor;
};

// Annotations by platform ("" is for all), from keys like "annotation-manifest[linux/arm64].name".
class AnnotationGroup {
 public:
  // Takes annotation keys out of the map. InvalidArgument for an unknown place or platform.
  static Result<AnnotationGroup> take(Attrs& attrs);
  void merge(const AnnotationGroup& other);
  // Everything at index level, and what a manifest of the platform gets (null: only what is for all).
  Annotations for_platform(const Platform* platform) const;
  const std::map<std::string, Annotations>& by_platform() const { return groups_; }

 private:
  std::map<std::string, Annotations> groups_;
};

struct ImageOptions {
  std::string name;  // several, separated by commas; "*" takes the result's own
  layer::CompressionOptions compression;
  bool compression_said = false;
  bool force_compression = false;
  std::optional<bool> oci_types;
  std::optional<bool> oci_artifact;
  AnnotationGroup annotations;
  Epoch epoch;
  bool inline_attestations = false;
  bool prefer_nondistributable = false;
  bool rewrite_timestamp = false;
  bool fetch_layers = false;  // also those that could stay where they are

  // Takes what it knows out of `attrs`; the rest is the exporter's.
  static Result<ImageOptions> take(Attrs& attrs);
  // Conflicts between options, once the media types are settled.
  Status check() const;
  bool oci() const { return oci_types.value_or(false); }
  bool artifact() const { return oci_artifact.value_or(false); }
  store::LayerOptions layer_options() const;
};

// Versions of behaviour that a request can pin.
inline constexpr std::int64_t kCompatibility013 = 10;
inline constexpr std::int64_t kCompatibility031 = 30;

}  // namespace kiln::exporter::internal
