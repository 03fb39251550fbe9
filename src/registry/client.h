// The OCI distribution client: names to descriptors, descriptors to bytes, bytes to a registry.
// The source room pulls with it, export and remotecache push with it.
//
//   Registry registry(*http, {.hosts = config.registries, .user_agent = "buildkit/v0.25"});
//   KILN_ASSIGN_OR_RETURN(Resolved image, registry.resolve(ref, {.credentials = credentials, .stop = stop}));
//   KILN_ASSIGN_OR_RETURN(std::string manifest, registry.fetch_manifest(image.ref, image.descriptor, access));
//   KILN_ASSIGN_OR_RETURN(auto layer, registry.open_blob(image.ref, layer_descriptor, 0, access));
//
// Protocol: OCI distribution-spec 1.1; https://distribution.github.io/distribution/spec/auth/
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/stream.h"
#include "content/blob_provider.h"
#include "content/descriptor.h"
#include "registry/credentials.h"
#include "registry/http.h"
#include "registry/reference.h"

namespace kiln::registry {

// [registry."host"] of buildkitd.toml.
struct HostConfig {
  std::vector<std::string> mirrors;          // host[/path], tried in order, for pulls only
  std::optional<bool> plain_http;            // "http"; unset: only for loopback hosts
  std::optional<bool> insecure;              // any certificate; with http: TLS first, then plain
  std::vector<std::string> ca;               // PEM files
  std::vector<KeyPair> keypairs;             // client certificates
  std::vector<std::string> tls_config_dirs;  // folders of *.crt, *.cert and *.key
};

struct Options {
  std::map<std::string, HostConfig> hosts;  // by the domain of references, "docker.io"
  std::string user_agent;
  int concurrency = 4;  // transfers a host; manifests have one more
  std::vector<Duration> backoff = {std::chrono::seconds(1), std::chrono::seconds(2), std::chrono::seconds(4),
                                   std::chrono::seconds(8)};
};

// What a caller brings to every call: on whose behalf, how strictly, until when.
struct Access {
  std::shared_ptr<Credentials> credentials;  // null: anonymous
  bool insecure = false;                     // registry.insecure=true: any certificate, or plain HTTP when TLS fails
  std::stop_token stop;
};

struct Resolved {
  Reference ref;                   // as asked, with the digest found
  content::Descriptor descriptor;  // of the manifest or index
  std::string host;                // which host answered: a mirror or the origin
};

// Reads a blob anew from `offset`; called again when an upload has to be repeated.
using BlobOpener = std::function<Result<std::unique_ptr<ByteSource>>(std::uint64_t offset)>;
using Progress = std::function<void(std::uint64_t bytes)>;

// Whoever writes the bytes into a blob store verifies them there; hashing them twice is waste.
enum class Verify { kYes, kNo };

enum class Pushed { kUploaded, kExisted, kMounted };

// What the blobs of one push tell each other. Where one after the other was missing, a small one is sent
// without the question whether it is there: the question costs as much as the answer. Any thread.
struct PushSeries {
  std::atomic<int> missing_in_a_row = 0;
};

// Detail of a refused manifest: the registry has not all that it names. What was believed to stand there is
// forgotten by then, so that the push can be begun anew, once.
inline constexpr std::string_view kMissingBlobsDetail = "kiln/registry-misses-blobs";

// A manifest that this client pushed to a repository, and what it saw there of what the manifest names.
struct Standing {
  Digest manifest;         // empty: nothing is known
  std::set<Digest> blobs;  // and manifests
  Time seen{};             // the oldest sight of them
};

// Any thread; the Transport must outlive it. Every call blocks and is cancelled by access.stop.
// Errors: NotFound (no such image, blob), Unauthenticated, PermissionDenied, FailedPrecondition
// (digest mismatch, certificate), Unavailable after all retries. Network errors, 429 and 5xx are
// tried again after 1, 2, 4 and 8 s or as Retry-After says.
class Registry {
 public:
  Registry(Transport& http, Options options);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // HEAD, or GET where HEAD tells too little. A digest in `ref` wins over its tag.
  Result<Resolved> resolve(const Reference& ref, const Access& access);

  // The bytes of a manifest, index or other small JSON (≤ 16 MiB), verified. Without digest in the
  // descriptor, whatever the reference's tag names. Mirrors are asked first.
  Result<std::string> fetch_manifest(const Reference& ref, const content::Descriptor& descriptor, const Access& access);

  // The blob's bytes from `offset`. A connection cut short is resumed by Range; when read from 0
  // the end gives FailedPrecondition unless size and (with kYes) digest are right. Foreign URLs of the
  // descriptor are tried when the registry does not have it.
  Result<std::unique_ptr<ByteSource>> open_blob(const Reference& ref, const content::Descriptor& descriptor,
                                                std::uint64_t offset, const Access& access,
                                                Verify verify = Verify::kYes);

  // Size of a blob when it is there.
  Result<std::optional<std::int64_t>> stat_blob(const Reference& ref, const Digest& digest, const Access& access);

  // Nothing is sent when the registry has the blob, or can mount it from one of `mount_from`
  // (repositories on the same host, "library/busybox").
  Result<Pushed> push_blob(const Reference& ref, const content::Descriptor& descriptor, const BlobOpener& open,
                           const std::vector<std::string>& mount_from, const Access& access,
                           const Progress& progress = {}, PushSeries* series = nullptr);

  // What stands at the reference right now, when it is something that this client pushed there lately: what
  // that names need not be pushed again. Asks the registry once, or not at all where nothing was pushed.
  // Best effort: whatever goes wrong, nothing is known.
  Standing standing(const Reference& ref, const Access& access);
  // After a push: `pushed.seen` is when it began, or older if blobs were left out because of a Standing.
  void remember_push(const Reference& ref, const Access& access, Standing pushed);

  // By the tag of `ref` when it has one, else by digest. What it refers to must be there already, else
  // kMissingBlobsDetail.
  Status push_manifest(const Reference& ref, const content::Descriptor& descriptor, std::string_view bytes,
                       const Access& access);

  // A repository seen as a provider of blobs, unverified. Holds `access` and this registry.
  std::shared_ptr<content::BlobProvider> provider(const Reference& ref, const Access& access);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kiln::registry
