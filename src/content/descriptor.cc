#include "content/descriptor.h"

#include "base/base64.h"
#include "content/internal/json_read.h"
#include "content/json_text.h"

namespace kiln::content {
namespace {

using internal::get;
using internal::Json;

Result<Descriptor> descriptor_of(const Json& object) {
  if (!object.is_object()) return internal::malformed("a descriptor is not an object");
  Descriptor d;
  KILN_RETURN_IF_ERROR(get(object, "mediaType", d.media_type));
  KILN_RETURN_IF_ERROR(get(object, "digest", d.digest));
  KILN_RETURN_IF_ERROR(get(object, "size", d.size));
  KILN_RETURN_IF_ERROR(get(object, "urls", d.urls));
  KILN_RETURN_IF_ERROR(get(object, "annotations", d.annotations));
  KILN_RETURN_IF_ERROR(get(object, "artifactType", d.artifact_type));
  std::string data;
  KILN_RETURN_IF_ERROR(get(object, "data", data));
  if (!data.empty()) {
    auto bytes = base64_decode(data);
    if (!bytes) return internal::malformed("field 'data' is not base64");
    d.data = *std::move(bytes);
  }
  if (const Json* platform = internal::member(object, "platform")) {
    KILN_ASSIGN_OR_RETURN(d.platform, internal::platform_of(*platform));
  }
  if (d.digest.empty()) return internal::malformed("a descriptor has no digest");
  if (d.size < 0) return internal::malformed("a descriptor has a negative size");
  return d;
}

Result<std::vector<Descriptor>> descriptors_of(const Json& object, const char* name) {
  std::vector<Descriptor> out;
  const Json* list = internal::member(object, name);
  if (!list) return out;
  for (const Json& item : *list) {
    KILN_ASSIGN_OR_RETURN(Descriptor d, descriptor_of(item));
    out.push_back(std::move(d));
  }
  return out;
}

void write_platform(JsonWriter& w, const Platform& p) {
  w.begin_object();
  w.key("architecture");
  w.string(p.architecture);
  w.key("os");
  w.string(p.os);
  w.string_if("os.version", p.os_version);
  w.strings_if("os.features", p.os_features);
  w.string_if("variant", p.variant);
  w.end_object();
}

void write_descriptor(JsonWriter& w, const Descriptor& d) {
  w.begin_object();
  w.key("mediaType");
  w.string(d.media_type);
  w.key("digest");
  w.string(d.digest.str());
  w.key("size");
  w.integer(d.size);
  w.strings_if("urls", d.urls);
  w.map_if("annotations", d.annotations);
  w.string_if("data", base64_encode(d.data));
  if (d.platform) {
    w.key("platform");
    write_platform(w, *d.platform);
  }
  w.string_if("artifactType", d.artifact_type);
  w.end_object();
}

void write_descriptors(JsonWriter& w, const char* name, const std::vector<Descriptor>& list) {
  w.key(name);
  if (list.empty()) {
    w.null();  // as Go prints a slice nothing was put in
    return;
  }
  w.begin_array();
  for (const auto& d : list) write_descriptor(w, d);
  w.end_array();
}

void write_head(JsonWriter& w, const std::string& media_type, const std::string& artifact_type) {
  w.begin_object();
  w.key("schemaVersion");
  w.integer(2);
  w.string_if("mediaType", media_type);
  w.string_if("artifactType", artifact_type);
}

void write_tail(JsonWriter& w, const std::optional<Descriptor>& subject, const StringMap& annotations) {
  if (subject) {
    w.key("subject");
    write_descriptor(w, *subject);
  }
  w.map_if("annotations", annotations);
  w.end_object();
}

struct TypePair {
  std::string_view oci, docker;
};
constexpr TypePair kPairs[] = {
    {kOciManifest, kDockerManifest},
    {kOciIndex, kDockerManifestList},
    {kOciConfig, kDockerConfig},
    {kOciLayer, kDockerLayer},
    {kOciLayerGzip, kDockerLayerGzip},
    {kOciLayerZstd, kDockerLayerZstd},
    {kOciForeignLayer, kDockerForeignLayer},
    {kOciForeignLayerGzip, kDockerForeignLayerGzip},
};

}  // namespace

Result<Descriptor> parse_descriptor(std::string_view json) {
  KILN_ASSIGN_OR_RETURN(Json object, internal::parse_object(json, "descriptor"));
  return descriptor_of(object);
}

Result<Manifest> parse_manifest(std::string_view json) {
  KILN_ASSIGN_OR_RETURN(Json object, internal::parse_object(json, "manifest"));
  Manifest m;
  KILN_RETURN_IF_ERROR(get(object, "mediaType", m.media_type));
  KILN_RETURN_IF_ERROR(get(object, "artifactType", m.artifact_type));
  KILN_RETURN_IF_ERROR(get(object, "annotations", m.annotations));
  const Json* config = internal::member(object, "config");
  if (!config) return internal::malformed("manifest has no config");
  KILN_ASSIGN_OR_RETURN(m.config, descriptor_of(*config));
  KILN_ASSIGN_OR_RETURN(m.layers, descriptors_of(object, "layers"));
  if (const Json* subject = internal::member(object, "subject")) {
    KILN_ASSIGN_OR_RETURN(m.subject, descriptor_of(*subject));
  }
  return m;
}

Result<Index> parse_index(std::string_view json) {
  KILN_ASSIGN_OR_RETURN(Json object, internal::parse_object(json, "image index"));
  Index index;
  KILN_RETURN_IF_ERROR(get(object, "mediaType", index.media_type));
  KILN_RETURN_IF_ERROR(get(object, "artifactType", index.artifact_type));
  KILN_RETURN_IF_ERROR(get(object, "annotations", index.annotations));
  KILN_ASSIGN_OR_RETURN(index.manifests, descriptors_of(object, "manifests"));
  if (const Json* subject = internal::member(object, "subject")) {
    KILN_ASSIGN_OR_RETURN(index.subject, descriptor_of(*subject));
  }
  return index;
}

std::string to_json(const Descriptor& descriptor, JsonLayout layout) {
  JsonWriter w(layout);
  write_descriptor(w, descriptor);
  return w.take();
}

std::string to_json(const Manifest& m, JsonLayout layout) {
  JsonWriter w(layout);
  write_head(w, m.media_type, m.artifact_type);
  w.key("config");
  write_descriptor(w, m.config);
  write_descriptors(w, "layers", m.layers);
  write_tail(w, m.subject, m.annotations);
  return w.take();
}

std::string to_json(const Index& index, JsonLayout layout) {
  JsonWriter w(layout);
  write_head(w, index.media_type, index.artifact_type);
  write_descriptors(w, "manifests", index.manifests);
  write_tail(w, index.subject, index.annotations);
  return w.take();
}

std::string to_json(const Platform& platform) {
  JsonWriter w;
  write_platform(w, platform);
  return w.take();
}

Descriptor empty_json_descriptor() {
  Descriptor d;
  d.media_type = kOciEmpty;
  d.digest = Digest::of("{}");
  d.size = 2;
  d.data = "{}";
  return d;
}

bool is_manifest_type(std::string_view t) { return t == kOciManifest || t == kDockerManifest; }
bool is_index_type(std::string_view t) { return t == kOciIndex || t == kDockerManifestList; }
bool is_config_type(std::string_view t) { return t == kOciConfig || t == kDockerConfig; }

bool is_layer_type(std::string_view t) {
  return t.starts_with("application/vnd.oci.image.layer.") || t.starts_with("application/vnd.docker.image.rootfs.");
}

bool is_foreign_layer_type(std::string_view t) {
  return t.starts_with("application/vnd.oci.image.layer.nondistributable.") ||
         t.starts_with("application/vnd.docker.image.rootfs.foreign.");
}

std::string to_oci_type(std::string_view media_type) {
  for (const auto& pair : kPairs) {
    if (pair.docker == media_type) return std::string(pair.oci);
  }
  return std::string(media_type);
}

std::string to_docker_type(std::string_view media_type) {
  for (const auto& pair : kPairs) {
    if (pair.oci == media_type) return std::string(pair.docker);
  }
  return std::string(media_type);
}

std::string to_distributable_type(std::string_view media_type) {
  std::string text(media_type);
  for (std::string_view mark : {".nondistributable", ".foreign"}) {
    if (auto at = text.find(mark); at != std::string::npos && is_foreign_layer_type(media_type)) {
      text.erase(at, mark.size());
      break;
    }
  }
  return text;
}

}  // namespace kiln::content
