#include "source/image.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "content/image_config.h"
#include "session/client_content.h"
#include "session/credentials.h"
#include "source/image_fetch.h"

namespace kiln::source {
namespace {

constexpr std::size_t kDocumentMax = 16 << 20;
constexpr int kIndexDepthMax = 4;
constexpr auto kHoldFor = std::chrono::minutes(5);
constexpr const char* kShelves[] = {"source.image.0", "source.image.1"};

constexpr std::string_view kReferenceType = "vnd.docker.reference.type";
constexpr std::string_view kReferenceDigest = "vnd.docker.reference.digest";

std::string annotation(const content::Descriptor& descriptor, std::string_view name) {
  auto found = descriptor.annotations.find(std::string(name));
  return found == descriptor.annotations.end() ? std::string() : found->second;
}

// Which documents a JSON text is; manifests without media type are told by their members.
std::string document_type(std::string_view bytes) {
  if (Result<content::Index> index = content::parse_index(bytes); index.ok() && !index->manifests.empty()) {
    return index->media_type.empty() ? std::string(content::kDockerManifestList) : index->media_type;
  }
  if (Result<content::Manifest> manifest = content::parse_manifest(bytes);
      manifest.ok() && !manifest->config.digest.empty()) {
    return manifest->media_type.empty() ? std::string(content::kDockerManifest) : manifest->media_type;
  }
  return {};
}

// The layers' bytes of one repository. Asks with the sessions of whoever looked last, because the
// sessions of the step that first named the layer may be gone when its bytes are wanted.
class RegistryLayers final : public content::BlobProvider {
 public:
  RegistryLayers(registry::Registry& registry, session::Sessions* sessions, Reference ref)
      : registry_(registry), sessions_(sessions), ref_(std::move(ref)) {}

  void asked_by(std::vector<std::string> ids) {
    std::lock_guard guard(mutex_);
    if (sessions_ == nullptr || (credentials_ && ids == ids_)) return;
    ids_ = std::move(ids);
    credentials_ = session::session_credentials(session::SessionGroup(*sessions_, [ids = ids_] { return ids; }));
  }

  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override {
    registry::Access access{.credentials = nullptr, .insecure = false, .stop = std::move(stop)};
    {
      std::lock_guard guard(mutex_);
      access.credentials = credentials_;
    }
    return registry_.open_blob(ref_, blob, static_cast<std::uint64_t>(offset), access, registry::Verify::kNo);
  }

 private:
  registry::Registry& registry_;
  session::Sessions* sessions_;
  Reference ref_;
  std::mutex mutex_;
  std::vector<std::string> ids_;
  std::shared_ptr<registry::Credentials> credentials_;
};

session::SessionGroup fixed_group(session::Sessions* sessions, const Asker& asker) {
  if (sessions == nullptr) return asker.sessions;
  return session::SessionGroup(*sessions, [ids = asker.sessions.ids()] { return ids; });
}

bool is_attestation(const content::Descriptor& descriptor) {
  return annotation(descriptor, kReferenceType) == "attestation-manifest" ||
         (descriptor.platform && descriptor.platform->os == "unknown");
}

}  // namespace

std::string source_label(const Reference& ref) { return "containerd.io/distribution.source." + ref.domain; }

ImageSource::ImageSource(ImageSourceOptions options) : options_(std::move(options)) {
  if (options_.clock == nullptr) options_.clock = &system_clock();
  turned_ = options_.clock->now();
  release_looked_at();
}

std::shared_ptr<content::BlobProvider> ImageSource::provider(const ImagePlace& place, const Asker& asker) {
  if (place.kind == ImagePlace::Kind::kLayout) {
    return std::make_shared<session::ClientContent>(fixed_group(options_.sessions, asker), place.session_id,
                                                    "oci:" + place.store_id);
  }
  std::lock_guard guard(mutex_);
  auto& known = providers_[place.ref.name()];
  if (!known) {
    Reference repository{.domain = place.ref.domain, .path = place.ref.path, .tag = {}, .digest = {}};
    known = std::make_shared<RegistryLayers>(*options_.registry, options_.sessions, repository);
  }
  std::static_pointer_cast<RegistryLayers>(known)->asked_by(asker.sessions.ids());
  return known;
}

Result<content::Descriptor> ImageSource::find_root(const ImagePlace& place, const Asker& asker) {
  bool layout = place.kind == ImagePlace::Kind::kLayout;
  const Digest& digest = place.ref.digest;
  if (layout && digest.empty()) {
    return user_error(Code::kInvalidArgument, fmt::format("reference \"{}\" must have digest", place.ref.str()));
  }
  content::Descriptor root;
  root.digest = digest;
  if (!digest.empty()) {
    // Known by digest, and known to be in that repository: nobody has to be asked.
    KILN_ASSIGN_OR_RETURN(std::optional<content::BlobInfo> info, options_.blobs->info(digest));
    bool known =
        info && (layout || annotation({.annotations = info->labels}, source_label(place.ref)).find(place.ref.path) !=
                               std::string::npos);
    if (known) {
      KILN_ASSIGN_OR_RETURN(std::string bytes, content::read_blob(*options_.blobs, digest, kDocumentMax));
      root.size = info->size;
      root.media_type = document_type(bytes);
      if (!root.media_type.empty()) return root;
    }
  }
  if (layout) {
    KILN_ASSIGN_OR_RETURN(std::string bytes, document(place, root, asker));
    root.size = static_cast<std::int64_t>(bytes.size());
    root.media_type = document_type(bytes);
    if (root.media_type.empty()) {
      return peer_error(Code::kFailedPrecondition,
                        fmt::format("reference \"{}\" contains neither an index nor a manifest", place.ref.str()));
    }
    return root;
  }
  registry::Access access{
      .credentials = session::session_credentials(asker.sessions), .insecure = false, .stop = asker.stop};
  KILN_ASSIGN_OR_RETURN(registry::Resolved resolved, options_.registry->resolve(place.ref, access));
  return resolved.descriptor;
}

Result<std::string> ImageSource::document(const ImagePlace& place, const content::Descriptor& descriptor,
                                          const Asker& asker) {
  content::StringMap labels;
  if (place.kind == ImagePlace::Kind::kRegistry) labels[source_label(place.ref)] = place.ref.path;
  hold_for_a_while(descriptor.digest);
  KILN_ASSIGN_OR_RETURN(std::optional<content::BlobInfo> info, options_.blobs->info(descriptor.digest));
  if (info) {
    if (!labels.empty()) {
      // A blob may be in several repositories; the label lists them all.
      std::string known = annotation({.annotations = info->labels}, source_label(place.ref));
      auto list = split(known, ',');
      if (known.empty() || std::find(list.begin(), list.end(), place.ref.path) == list.end()) {
        labels[source_label(place.ref)] = known.empty() ? place.ref.path : known + "," + place.ref.path;
        KILN_RETURN_IF_ERROR(options_.blobs->set_labels(descriptor.digest, labels));
      }
    }
    return content::read_blob(*options_.blobs, descriptor.digest, kDocumentMax);
  }
  std::string bytes;
  if (place.kind == ImagePlace::Kind::kLayout) {
    auto from = provider(place, asker);
    KILN_ASSIGN_OR_RETURN(auto stream, from->open(descriptor, 0, asker.stop));
    KILN_ASSIGN_OR_RETURN(bytes, read_all(*stream, kDocumentMax));
  } else {
    registry::Access access{
        .credentials = session::session_credentials(asker.sessions), .insecure = false, .stop = asker.stop};
    KILN_ASSIGN_OR_RETURN(bytes, options_.registry->fetch_manifest(place.ref, descriptor, access));
  }
  KILN_ASSIGN_OR_RETURN(auto writer, options_.blobs->ingest(descriptor.digest.algorithm()));
  KILN_RETURN_IF_ERROR(writer->write(bytes));
  content::CommitOptions commit{.digest = descriptor.digest, .size = -1, .labels = labels};
  KILN_RETURN_IF_ERROR(writer->commit(commit).status());
  return bytes;
}

// Two shelves under two owners: what is looked at goes on the newer one; every five minutes the older
// one, untouched for as long, is emptied and becomes the newer. Nothing has to be remembered over a
// restart, which empties both.
void ImageSource::hold_for_a_while(const Digest& digest) {
  if (options_.trees == nullptr) return;
  Time now = options_.clock->now();
  std::lock_guard guard(mutex_);
  if (now >= turned_ + kHoldFor) {
    turned_ = now;
    newer_ = 1 - newer_;
    empty_shelf(newer_);
  }
  if (!held_[newer_].insert(digest).second) return;
  Status status = options_.trees->hold_blob(kShelves[newer_], digest);
  if (!status.ok()) log_debug("{}", message_of(status));
}

void ImageSource::empty_shelf(int shelf) {
  held_[shelf].clear();
  Status status = options_.trees->release_blobs(kShelves[shelf]);
  if (!status.ok()) log_debug("{}", message_of(status));
}

void ImageSource::release_looked_at() {
  if (options_.trees == nullptr) return;
  std::lock_guard guard(mutex_);
  empty_shelf(0);
  empty_shelf(1);
}

namespace {

// The entry of an index that suits the platform; entries without platform suit any, last.
std::optional<content::Descriptor> choose(const content::Index& index, const Platform& platform) {
  std::vector<Platform> platforms;
  std::vector<const content::Descriptor*> candidates;
  const content::Descriptor* without = nullptr;
  for (const content::Descriptor& entry : index.manifests) {
    if (is_attestation(entry)) continue;
    if (!entry.platform) {
      if (without == nullptr) without = &entry;
      continue;
    }
    platforms.push_back(*entry.platform);
    candidates.push_back(&entry);
  }
  int best = best_platform(platforms, platform);
  if (best >= 0) return *candidates[static_cast<std::size_t>(best)];
  if (without != nullptr) return *without;
  return std::nullopt;
}

// Pairs the manifest's layers with the config's uncompressed digests.
Status add_layers(const ImagePlace& place, const content::Manifest& manifest, ImageDocuments& image) {
  Result<content::ImageConfig> config = content::parse_image_config(image.config_bytes);
  std::vector<Digest> diff_ids = config.ok() ? config->diff_ids : std::vector<Digest>();
  if (diff_ids.size() != manifest.layers.size()) {
    return peer_error(Code::kFailedPrecondition,
                      fmt::format("{}: mismatched image rootfs ({} layers) and manifest layers ({})", place.ref.str(),
                                  diff_ids.size(), manifest.layers.size()));
  }
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    content::Descriptor layer = manifest.layers[i];
    layer.annotations[std::string(content::kUncompressedAnnotation)] = diff_ids[i].str();
    if (place.kind == ImagePlace::Kind::kRegistry) layer.annotations[source_label(place.ref)] = place.ref.path;
    image.layers.push_back(std::move(layer));
  }
  return ok();
}

}  // namespace

Result<ImageDocuments> ImageSource::resolve(const ImagePlace& place, const Platform& platform, const Asker& asker) {
  ImageDocuments image;
  KILN_ASSIGN_OR_RETURN(image.root, find_root(place, asker));
  if (image.root.media_type.find("manifest.v1+") != std::string::npos &&
      image.root.media_type.find("docker") != std::string::npos) {
    return peer_error(Code::kFailedPrecondition,
                      "support Docker Image manifest version 2, schema 1 has been removed. More information at "
                      "https://docs.docker.com/go/deprecated-image-specs/");
  }
  content::Descriptor at = image.root;
  for (int depth = 0;; ++depth) {
    KILN_ASSIGN_OR_RETURN(std::string bytes, document(place, at, asker));
    image.documents.push_back(at);
    bool index = content::is_index_type(at.media_type) ||
                 (!content::is_manifest_type(at.media_type) && content::is_index_type(document_type(bytes)));
    if (!index) {
      KILN_ASSIGN_OR_RETURN(content::Manifest manifest, content::parse_manifest(bytes));
      image.manifest = at;
      image.config = manifest.config;
      KILN_ASSIGN_OR_RETURN(image.config_bytes, document(place, manifest.config, asker));
      image.documents.push_back(manifest.config);
      KILN_RETURN_IF_ERROR(add_layers(place, manifest, image));
      return image;
    }
    KILN_ASSIGN_OR_RETURN(content::Index parsed, content::parse_index(bytes));
    std::optional<content::Descriptor> chosen = choose(parsed, platform);
    if (!chosen || depth == kIndexDepthMax) {
      return peer_error(Code::kNotFound,
                        fmt::format("{} ({}) is not made for {}: no match for platform in manifest: not found",
                                    place.ref.str(), at.digest.str(), platform.str()));
    }
    at = *std::move(chosen);
  }
}

Result<ImageMeta> ImageSource::meta(const ImagePlace& place, const std::optional<Platform>& platform,
                                    const MetaOptions& options, const Asker& asker) {
  Platform wanted = platform ? platform->normalized() : Platform::host();
  bool chain = options.attestation_chain || !options.resolve_attestations.empty();
  std::string key = fmt::format("{}|{}|{}|{}", place.ref.str(), wanted.str_full(), place.session_id, place.store_id);
  KILN_ASSIGN_OR_RETURN(ImageDocuments image,
                        resolving_.run(key, asker.stop, [&] { return resolve(place, wanted, asker); }));
  ImageMeta meta{.digest = image.root.digest, .config = {}, .attestation_chain = {}};
  if (!options.no_config) meta.config = image.config_bytes;
  if (chain && content::is_index_type(image.root.media_type)) {
    KILN_ASSIGN_OR_RETURN(meta.attestation_chain, attestations(place, image, options.resolve_attestations, asker));
  }
  return meta;
}

Result<AttestationChain> ImageSource::attestations(const ImagePlace& place, const ImageDocuments& image,
                                                   const std::vector<std::string>& predicates, const Asker& asker) {
  AttestationChain chain{.root = image.root.digest, .image_manifest = image.manifest.digest};
  auto add = [&](const content::Descriptor& descriptor) -> Result<std::string> {
    KILN_ASSIGN_OR_RETURN(std::string bytes, document(place, descriptor, asker));
    chain.blobs[descriptor.digest.str()] = {
        .media_type = descriptor.media_type, .size = descriptor.size, .data = bytes};
    return bytes;
  };
  KILN_ASSIGN_OR_RETURN(std::string root, add(image.root));
  KILN_ASSIGN_OR_RETURN(content::Index index, content::parse_index(root));
  for (const content::Descriptor& entry : index.manifests) {
    if (annotation(entry, kReferenceType) != "attestation-manifest") continue;
    if (annotation(entry, kReferenceDigest) != image.manifest.digest.str()) continue;
    chain.attestation_manifest = entry.digest;
    KILN_ASSIGN_OR_RETURN(std::string bytes, add(entry));
    KILN_ASSIGN_OR_RETURN(content::Manifest manifest, content::parse_manifest(bytes));
    for (const content::Descriptor& layer : manifest.layers) {
      std::string predicate = annotation(layer, "in-toto.io/predicate-type");
      if (std::find(predicates.begin(), predicates.end(), predicate) == predicates.end()) continue;
      KILN_RETURN_IF_ERROR(add(layer).status());
    }
    break;
  }
  return chain;
}

}  // namespace kiln::source
