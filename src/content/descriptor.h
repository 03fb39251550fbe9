// What points at a blob, and the two documents made of such pointers: the manifest of one image and
// the index of several. Stands between the bytes (blob_store.h) and everyone who names them: store,
// registry, export, sources.
//
//   KILN_ASSIGN_OR_RETURN(Manifest m, parse_manifest(bytes));
//   std::string text = to_json(m, JsonLayout::kIndented);   // digest of the text = digest of the image
//
// Formats: OCI image-spec v1.1 (descriptor.md, manifest.md, image-index.md) and Docker distribution
// manifest v2 schema 2. Written with the field order, escapes and indentation that Go's encoding/json
// gives to the image-spec structs, because digests are taken over these bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/platform.h"
#include "base/status.h"

namespace kiln::content {

inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciEmpty = "application/vnd.oci.empty.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kOciForeignLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar";
inline constexpr std::string_view kOciForeignLayerGzip = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
inline constexpr std::string_view kOciForeignLayerZstd = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr std::string_view kDockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd";
inline constexpr std::string_view kDockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar";
inline constexpr std::string_view kDockerForeignLayerGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
inline constexpr std::string_view kInTotoStatement = "application/vnd.in-toto+json";

// Annotation on a layer descriptor in our hands: the digest of the uncompressed tar. Removed before
// a manifest is written.
inline constexpr std::string_view kUncompressedAnnotation = "containerd.io/uncompressed";
// Likewise: when the layer was made, RFC 3339.
inline constexpr std::string_view kCreatedAtAnnotation = "buildkit/createdat";

using StringMap = std::map<std::string, std::string>;

// A value.
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::int64_t size = 0;
  std::vector<std::string> urls;
  StringMap annotations;
  std::string data;  // the content itself when small enough to travel along; raw bytes, base64 in JSON
  std::optional<Platform> platform;
  std::string artifact_type;

  bool operator==(const Descriptor&) const = default;
};

// A value. `media_type` may be empty in documents of others (it is optional in OCI).
struct Manifest {
  std::string media_type;
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;
  std::optional<Descriptor> subject;
  StringMap annotations;
};

struct Index {
  std::string media_type;
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  StringMap annotations;
};

enum class JsonLayout { kCompact, kIndented };  // indented by two blanks, as images are written

// FailedPrecondition (fault: peer) when the text is no such document; the message says where.
Result<Descriptor> parse_descriptor(std::string_view json);
Result<Manifest> parse_manifest(std::string_view json);
Result<Index> parse_index(std::string_view json);

std::string to_json(const Descriptor& descriptor, JsonLayout layout = JsonLayout::kCompact);
std::string to_json(const Manifest& manifest, JsonLayout layout = JsonLayout::kIndented);
std::string to_json(const Index& index, JsonLayout layout = JsonLayout::kIndented);
// {"architecture":…,"os":…}: the OCI platform object.
std::string to_json(const Platform& platform);

// The "{}" blob that stands where a manifest has nothing to configure.
Descriptor empty_json_descriptor();

bool is_manifest_type(std::string_view media_type);  // OCI or Docker, one image
bool is_index_type(std::string_view media_type);     // OCI index or Docker manifest list
bool is_config_type(std::string_view media_type);
bool is_layer_type(std::string_view media_type);          // any layer, foreign ones included
bool is_foreign_layer_type(std::string_view media_type);  // "nondistributable"
// The same kind of blob under the other family's name; unknown types stay. A foreign layer becomes
// a plain one by to_distributable_type.
std::string to_oci_type(std::string_view media_type);
std::string to_docker_type(std::string_view media_type);
std::string to_distributable_type(std::string_view media_type);

}  // namespace kiln::content
