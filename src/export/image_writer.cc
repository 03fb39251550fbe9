#include "export/internal/image_writer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/base64.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/reference.h"
#include "base/text.h"
#include "content/json_text.h"
#include "export/internal/attestation.h"
#include "export/internal/image_config_patch.h"
#include "export/internal/purl.h"
#include "export/internal/sbom_layers.h"
#include "layer/estargz.h"

namespace kiln::exporter::internal {
namespace {

std::string rewriting_text(Time epoch) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(epoch);
  return fmt::format("rewriting layers with source-date-epoch {} ({:%Y-%m-%d %H:%M:%S} +0000 UTC)", seconds,
                     fmt::gmtime(seconds));
}

constexpr const char* kConfigKey = "containerimage.config";
constexpr const char* kBaseConfigKey = "containerimage.base.config";
constexpr std::string_view kAttestationArtifact = "application/vnd.docker.attestation.manifest.v1+json";

constexpr const char* kRewrittenAnnotation = "buildkit/rewritten-timestamp";

// Annotations of a layer that a manifest keeps: those that lazy readers of estargz need, and the epoch
// that its times were clamped to.
bool is_kept(std::string_view key) {
  return key == layer::kTocDigestAnnotation || key == layer::kPlainSizeAnnotation || key == kRewrittenAnnotation;
}

void note_rewritten(std::vector<store::LayerBlob>& layers, const content::ImageConfig* base, Time epoch) {
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(epoch.time_since_epoch()).count();
  for (auto& layer : layers) {
    bool of_base =
        base && std::find(base->diff_ids.begin(), base->diff_ids.end(), layer.diff_id) != base->diff_ids.end();
    if (!of_base) layer.blob.annotations[kRewrittenAnnotation] = std::to_string(seconds);
  }
}

Result<std::optional<content::ImageConfig>> base_config(const BuildResult& result, const std::string& id) {
  std::string text = metadata_for(result, kBaseConfigKey, id);
  if (text.empty()) return std::optional<content::ImageConfig>();
  auto config = content::parse_image_config(text);
  if (!config.ok()) return annotate(config.status(), "failed to unmarshal base image config");
  return std::optional<content::ImageConfig>(*std::move(config));
}

// The config of an attestation manifest that is dressed as an image.
std::string attestation_config(const std::vector<content::Descriptor>& layers) {
  content::JsonWriter w;
  w.begin_object();
  w.key("architecture");
  w.string("unknown");
  w.key("os");
  w.string("unknown");
  w.key("config");
  w.begin_object();
  w.end_object();
  std::vector<Digest> ids;
  for (const auto& layer : layers) ids.push_back(layer.digest);
  w.key("rootfs");
  w.raw(content::rootfs_json(ids));
  w.end_object();
  return w.take();
}

bool wants_index(const BuildResult& result, const std::vector<ResultPlatform>& platforms, bool inline_attestations) {
  if (result.is_map()) return true;
  for (const auto& p : platforms) {
    const auto& attestations = attestations_for(result, p.id);
    if (!(inline_attestations ? attestations : without_inline_only(attestations)).empty()) return true;
  }
  return false;
}

}  // namespace

Result<WrittenImage> ImageWriter::write(const BuildResult& result, const std::string& names) {
  KILN_ASSIGN_OR_RETURN(auto platforms, platforms_of(result));
  bool index = wants_index(result, platforms, options_.inline_attestations);
  KILN_RETURN_IF_ERROR(check(result, platforms, index));
  return index ? write_index(result, platforms, names) : write_single(result, platforms.front());
}

Status ImageWriter::check(const BuildResult& result, const std::vector<ResultPlatform>& platforms, bool index) const {
  auto refused = [](std::string_view what) { return user_error(Code::kInvalidArgument, what); };
  if (result.is_map() && !result.metadata.contains("refs.platforms")) {
    return refused("unable to export multiple refs, missing platforms mapping");
  }
  KILN_RETURN_IF_ERROR(options_.check());
  if (context_.compatibility_version == kCompatibility013 && options_.compression.type == layer::Compression::kZstd) {
    return refused(
        fmt::format("unsupported compatibility-version {} feature exporter compression=zstd", kCompatibility013));
  }
  for (const auto& [id, a] : options_.annotations.by_platform()) {
    if (!id.empty() && result.is_map() && !result.trees.contains(id))
      return refused(fmt::format("invalid annotation: no platform {} found in source", id));
    if (!options_.oci() && !(a.index.empty() && a.index_descriptor.empty() && a.manifest_descriptor.empty())) {
      return refused("cannot export annotations with \"oci-mediatypes=false\"");
    }
  }
  if (!index) {
    if (platforms.size() > 1) return refused("cannot export multiple platforms without multi-platform enabled");
    Annotations all = options_.annotations.for_platform(nullptr);
    if (!all.index.empty() || !all.index_descriptor.empty()) {
      return refused("index annotations not supported for single platform export");
    }
  } else if (!options_.oci() && !result.attestations.empty()) {
    return refused("cannot export attestations with \"oci-mediatypes=false\"");
  }
  return ok();
}

Result<WrittenImage> ImageWriter::write_single(const BuildResult& result, const ResultPlatform& platform) {
  KILN_ASSIGN_OR_RETURN(auto layers, make_layers(result, {platform}));
  Annotations annotations = options_.annotations.for_platform(nullptr);
  KILN_ASSIGN_OR_RETURN(Image image, write_image(result, platform, annotations, std::move(layers.front())));
  image.manifest.platform = platform.platform;
  return WrittenImage{image.manifest, image.config.digest, blobs_, written_};
}

Result<WrittenImage> ImageWriter::write_index(const BuildResult& result, const std::vector<ResultPlatform>& platforms,
                                              const std::string& names) {
  KILN_ASSIGN_OR_RETURN(auto layers, make_layers(result, platforms));
  Annotations all = options_.annotations.for_platform(nullptr);
  content::Index index;
  index.media_type = options_.oci() ? content::kOciIndex : content::kDockerManifestList;
  index.annotations = all.index;
  std::vector<content::Descriptor> attestations;
  for (std::size_t i = 0; i < platforms.size(); ++i) {
    const ResultPlatform& p = platforms[i];
    Annotations annotations = options_.annotations.for_platform(&p.platform);
    KILN_ASSIGN_OR_RETURN(Image image, write_image(result, p, annotations, std::move(layers[i])));
    image.manifest.platform = p.platform;
    index.manifests.push_back(image.manifest);
    if (attestations_for(result, p.id).empty()) continue;
    KILN_ASSIGN_OR_RETURN(auto attestation, write_attestations(result, p, image, names));
    attestations.push_back(std::move(attestation));
  }
  index.manifests.insert(index.manifests.end(), attestations.begin(), attestations.end());
  KILN_ASSIGN_OR_RETURN(auto root, put(content::to_json(index), index.media_type, "manifest list"));
  root.annotations = all.index_descriptor;
  return WrittenImage{root, Digest(), blobs_, written_};
}

Result<std::vector<std::vector<store::LayerBlob>>> ImageWriter::make_layers(
    const BuildResult& result, const std::vector<ResultPlatform>& platforms) {
  event::Phase phase(context_.reporter, "exporting layers");
  std::vector<std::vector<store::LayerBlob>> layers(platforms.size());
  std::vector<std::function<Status()>> jobs;
  std::optional<Time> epoch;
  for (std::size_t i = 0; i < platforms.size(); ++i) {
    KILN_ASSIGN_OR_RETURN(store::TreeRef tree, tree_for(result, platforms[i].id));
    if (!tree) continue;
    KILN_ASSIGN_OR_RETURN(store::LayerOptions wanted, wanted_layers(result, platforms[i].id));
    wanted.told = told_;
    if (wanted.clamp_mtime) epoch = wanted.clamp_mtime;
    jobs.push_back([this, tree, wanted, &out = layers[i]] {
      auto made = ports_.trees->layers(tree, wanted, context_.stop, &context_.reporter);
      if (made.ok()) out = *std::move(made);
      return made.status();
    });
  }
  std::optional<event::Phase> rewriting;
  if (epoch) rewriting.emplace(context_.reporter, rewriting_text(*epoch));
  KILN_RETURN_IF_ERROR(run_parallel(ports_.pool, std::move(jobs)));
  return layers;
}

// With rewrite-timestamp, what is new gets times up to the epoch; layers of the base image stay.
Result<store::LayerOptions> ImageWriter::wanted_layers(const BuildResult& result, const std::string& id) const {
  store::LayerOptions wanted = options_.layer_options();
  if (!options_.rewrite_timestamp) return wanted;
  KILN_ASSIGN_OR_RETURN(wanted.clamp_mtime, epoch_for(options_.epoch, result.metadata, id));
  if (!wanted.clamp_mtime) log_warn("rewrite-timestamp is specified, but no source-date-epoch was found");
  KILN_ASSIGN_OR_RETURN(auto base, base_config(result, id));
  if (base) wanted.clamp_except = base->diff_ids;
  return wanted;
}

content::Descriptor ImageWriter::manifest_layer(const store::LayerBlob& layer) const {
  content::Descriptor d;
  d.digest = layer.blob.digest;
  d.size = layer.blob.size;
  bool foreign = content::is_foreign_layer_type(layer.blob.media_type);
  if (foreign && options_.prefer_nondistributable) d.urls = layer.blob.urls;
  std::string type =
      foreign && d.urls.empty() ? content::to_distributable_type(layer.blob.media_type) : layer.blob.media_type;
  d.media_type = options_.oci() ? content::to_oci_type(type) : content::to_docker_type(type);
  if (options_.oci()) {
    for (const auto& [key, value] : layer.blob.annotations) {
      if (is_kept(key)) d.annotations[key] = value;
    }
  }
  return d;
}

Result<ImageWriter::Image> ImageWriter::write_image(const BuildResult& result, const ResultPlatform& platform,
                                                    const Annotations& annotations,
                                                    std::vector<store::LayerBlob> layers) {
  KILN_ASSIGN_OR_RETURN(auto epoch, epoch_for(options_.epoch, result.metadata, platform.id));
  KILN_ASSIGN_OR_RETURN(auto base, base_config(result, platform.id));
  if (options_.rewrite_timestamp && epoch) note_rewritten(layers, base ? &*base : nullptr, *epoch);
  for (const auto& layer : layers) blobs_->add(*ports_.trees, layer);
  std::string config = metadata_for(result, kConfigKey, platform.id);
  if (config.empty()) config = default_config();
  auto image_config = content::parse_image_config(config);
  if (!image_config.ok()) return annotate(image_config.status(), "invalid image config for export");

  ConfigPatch patch;
  for (const auto& layer : layers) patch.diff_ids.push_back(layer.diff_id);
  patch.history = reconcile_history(std::move(image_config->history), layers);
  patch.epoch = epoch;
  patch.base = base ? &*base : nullptr;
  if (result.inline_cache) {
    KILN_ASSIGN_OR_RETURN(patch.inline_cache, result.inline_cache(result.is_map() ? platform.id : "", layers));
  }
  KILN_ASSIGN_OR_RETURN(std::string patched, patch_config(config, std::move(patch)));

  content::Manifest manifest;
  manifest.media_type = options_.oci() ? content::kOciManifest : content::kDockerManifest;
  manifest.annotations = annotations.manifest;
  for (const auto& layer : layers) manifest.layers.push_back(manifest_layer(layer));
  manifest.config.media_type = options_.oci() ? content::kOciConfig : content::kDockerConfig;
  manifest.config.digest = Digest::of(patched);
  manifest.config.size = static_cast<std::int64_t>(patched.size());
  Image image;
  KILN_ASSIGN_OR_RETURN(image.manifest, put(content::to_json(manifest), manifest.media_type, "manifest"));
  KILN_ASSIGN_OR_RETURN(image.config, put(patched, manifest.config.media_type, "config"));
  image.manifest.annotations = annotations.manifest_descriptor;
  image.layers = std::move(layers);
  return image;
}

Result<content::Descriptor> ImageWriter::write_attestations(const BuildResult& result, const ResultPlatform& platform,
                                                            const Image& image, const std::string& names) {
  KILN_ASSIGN_OR_RETURN(auto attestations,
                        unbundle(attestations_for(result, platform.id), *ports_.trees, context_.stop));
  for (auto& attestation : attestations) {
    KILN_ASSIGN_OR_RETURN(attestation,
                          with_layer_ids(attestation, image.layers, *blobs_, *ports_.trees, context_.stop));
  }
  std::vector<Subject> self;
  for (std::string_view name : split(names, ',')) {
    if (name.empty()) continue;
    KILN_ASSIGN_OR_RETURN(std::string purl, image_purl(name, platform.platform));
    self.push_back({std::move(purl), {image.manifest.digest}});
  }
  KILN_ASSIGN_OR_RETURN(auto statements, make_statements(attestations, self, *ports_.trees, context_.stop));

  content::Manifest manifest;
  manifest.media_type = options_.oci() ? content::kOciManifest : content::kDockerManifest;
  for (const auto& statement : statements) {
    std::string text = to_json(statement, content::JsonLayout::kCompact);
    KILN_ASSIGN_OR_RETURN(auto layer, put(text, content::kInTotoStatement, ""));
    if (options_.oci()) layer.annotations["in-toto.io/predicate-type"] = statement.predicate_type;
    manifest.layers.push_back(std::move(layer));
  }
  std::string config = "{}";
  manifest.config = content::empty_json_descriptor();
  if (options_.artifact()) {
    manifest.artifact_type = kAttestationArtifact;
    content::Descriptor subject;
    subject.media_type = image.manifest.media_type;
    subject.digest = image.manifest.digest;
    subject.size = image.manifest.size;
    manifest.subject = subject;
  } else {
    config = attestation_config(manifest.layers);
    manifest.config = {};
    manifest.config.media_type = options_.oci() ? content::kOciConfig : content::kDockerConfig;
    manifest.config.digest = Digest::of(config);
    manifest.config.size = static_cast<std::int64_t>(config.size());
  }
  KILN_RETURN_IF_ERROR(put(config, manifest.config.media_type, "").status());
  KILN_ASSIGN_OR_RETURN(auto d, put(content::to_json(manifest), manifest.media_type, "attestation manifest"));
  d.annotations = {{"vnd.docker.reference.type", "attestation-manifest"},
                   {"vnd.docker.reference.digest", image.manifest.digest.str()}};
  d.platform = Platform{.os = "unknown", .architecture = "unknown"};
  return d;
}

Result<content::Descriptor> ImageWriter::put(std::string_view bytes, std::string_view media_type,
                                             const std::string& what) {
  std::optional<event::Phase> phase;
  if (!what.empty()) phase.emplace(context_.reporter, fmt::format("exporting {} {}", what, Digest::of(bytes).str()));
  auto d = content::write_blob(*ports_.blobs, bytes, media_type);
  if (!d.ok()) return annotate(d.status(), fmt::format("error writing {} blob", what));
  written_.push_back(d->digest);
  return d;
}

Result<std::vector<std::string>> normalized_names(const std::string& names) {
  std::vector<std::string> out;
  if (names.empty()) return out;
  for (std::string_view name : split(names, ',')) {
    auto ref = Reference::parse(name);
    if (!ref.ok()) return annotate(ref.status(), fmt::format("failed to parse {}", name));
    out.push_back(ref->with_default_tag().str());
  }
  return out;
}

std::string settled_name(const std::string& name, const BuildResult& result) {
  auto it = result.metadata.find("image.name");
  return name == "*" && it != result.metadata.end() ? it->second : name;
}

Attrs image_response(const WrittenImage& image, const std::string& names) {
  Attrs response;
  if (!names.empty()) response["image.name"] = names;
  response["containerimage.digest"] = image.root.digest.str();
  if (!image.config_digest.empty()) response["containerimage.config.digest"] = image.config_digest.str();
  response["containerimage.descriptor"] = base64_encode(content::to_json(image.root));
  return response;
}

}  // namespace kiln::exporter::internal
