// What frontends ask about a source before they build with it: an image's configuration, a git
// ref's commit, a download's digest.
//
//   KILN_ASSIGN_OR_RETURN(SourceMeta meta, meta_resolver.resolve(op, platform, {}, asker));
//
// Shapes follow ResolveSourceMeta of moby/buildkit frontend/gateway/pb.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/platform.h"
#include "base/status.h"
#include "graph/op.h"
#include "source/source.h"

namespace kiln::source {

class ImageSource;
class GitSource;
class HttpSource;

struct MetaOptions {
  std::string resolve_mode;    // "", "default", "pull", "local"
  std::string oci_session_id;  // of oci-layout, when the attributes do not name it
  std::string oci_store_id;
  bool no_config = false;
  bool attestation_chain = false;
  std::vector<std::string> resolve_attestations;             // predicate types
  bool git_object = false;                                   // give the commit's and the tag's bytes
  std::optional<std::pair<int, std::string>> http_checksum;  // algorithm (0 sha256, 1 sha384, 2 sha512), suffix
};

struct AttestationBlob {
  std::string media_type;
  std::int64_t size = 0;
  std::string data;
};
struct AttestationChain {
  Digest root;
  Digest image_manifest;
  Digest attestation_manifest;
  std::vector<Digest> signature_manifests;
  std::map<std::string, AttestationBlob> blobs;  // by digest
};
struct ImageMeta {
  Digest digest;       // of the manifest or index that the reference names
  std::string config;  // JSON, of the image for the platform
  std::optional<AttestationChain> attestation_chain;
};
struct GitMeta {
  std::string checksum;         // what the ref points at: a commit or an annotated tag
  std::string ref;              // "refs/heads/main"
  std::string commit_checksum;  // of an annotated tag: the commit behind it; else empty
  std::string commit_object;
  std::string tag_object;
};
struct HttpMeta {
  Digest checksum;
  std::string filename;
  std::optional<Time> last_modified;
  std::optional<std::pair<std::string, std::string>> checksum_response;  // digest, suffix
};
struct SourceMeta {
  std::optional<ImageMeta> image;
  std::optional<GitMeta> git;
  std::optional<HttpMeta> http;
};

// Any thread; made once by the daemon. Blocking, cancellable calls.
class MetaResolver {
 public:
  MetaResolver(std::shared_ptr<ImageSource> image, std::shared_ptr<GitSource> git, std::shared_ptr<HttpSource> http);
  // By the scheme of the identifier; sources without metadata give an empty SourceMeta.
  Result<SourceMeta> resolve(const graph::SourceOp& op, const std::optional<Platform>& platform,
                             const MetaOptions& options, const Asker& asker);
  // `ref` is an image reference, or one in a layout of the client when options name a store.
  Result<ImageMeta> resolve_image(const std::string& ref, const std::optional<Platform>& platform,
                                  const MetaOptions& options, const Asker& asker);

 private:
  std::shared_ptr<ImageSource> image_;
  std::shared_ptr<GitSource> git_;
  std::shared_ptr<HttpSource> http_;
};

}  // namespace kiln::source
