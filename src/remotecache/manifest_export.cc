// Caches with a manifest: type=registry and type=local. Blobs first, several at once, then the configuration,
// then the manifest that names them all.
#include "content/json_text.h"
#include "registry/client.h"
#include "remotecache/cache_config.h"
#include "remotecache/collect.h"
#include "remotecache/export_options.h"
#include "remotecache/object_export.h"
#include "remotecache/sending.h"
#include "remotecache/target.h"

namespace kiln::remotecache {
namespace {

struct Options : ExportOptions {
  bool oci_types = true;
  bool image_manifest = true;
};

Result<Options> read_options(const Attrs& attrs) {
  Options out;
  KILN_ASSIGN_OR_RETURN(static_cast<ExportOptions&>(out), ExportOptions::read(attrs, Compressions::kChosen));
  KILN_ASSIGN_OR_RETURN(out.oci_types, bool_attribute(attrs, "oci-mediatypes", true));
  KILN_ASSIGN_OR_RETURN(out.image_manifest, bool_attribute(attrs, "image-manifest", out.oci_types));
  if (out.image_manifest && !out.oci_types) {
    return user_error(
        Code::kInvalidArgument,
        "invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format");
  }
  return out;
}

content::Descriptor descriptor_of(std::string_view bytes, std::string_view media_type) {
  content::Descriptor out;
  out.media_type = media_type;
  out.digest = Digest::of(bytes);
  out.size = static_cast<std::int64_t>(bytes.size());
  return out;
}

content::Descriptor layer_descriptor(const store::LayerBlob& layer, bool oci_types) {
  content::Descriptor out = layer.blob;
  out.media_type = oci_types ? content::to_oci_type(out.media_type) : content::to_docker_type(out.media_type);
  out.annotations[std::string(content::kUncompressedAnnotation)] = layer.diff_id.str();
  out.annotations[std::string(content::kCreatedAtAnnotation)] = format_rfc3339(layer.created);
  return out;
}

// What a manifest says of a layer; from where this daemon had it is nobody else's business.
content::Descriptor published(content::Descriptor layer) {
  std::erase_if(layer.annotations,
                [](const auto& note) { return note.first.starts_with("containerd.io/distribution.source."); });
  return layer;
}

std::string manifest_text(const Options& options, const content::Descriptor& config,
                          std::vector<content::Descriptor> layers, content::Descriptor& described) {
  std::string text;
  if (options.image_manifest) {
    content::Manifest manifest;
    manifest.media_type = content::kOciManifest;
    manifest.config = config;
    manifest.layers = std::move(layers);
    text = content::to_json(manifest, content::JsonLayout::kCompact);
    described = descriptor_of(text, manifest.media_type);
  } else {
    content::Index index;
    index.media_type = options.oci_types ? content::kOciIndex : content::kDockerManifestList;
    index.manifests = std::move(layers);
    index.manifests.push_back(config);
    text = content::to_json(index, content::JsonLayout::kCompact);
    described = descriptor_of(text, index.media_type);
  }
  return text;
}

constexpr std::size_t kUploadsMax = 4;

using MakeTarget = Result<std::unique_ptr<Target>> (*)(const Attrs&, const Ports&, const Context&);

class ManifestExport final : public CacheExport {
 public:
  ManifestExport(std::string name, Attrs attrs, Options options, Ports ports, MakeTarget make_target)
      : name_(std::move(name)),
        attrs_(std::move(attrs)),
        options_(std::move(options)),
        ports_(std::move(ports)),
        make_target_(make_target) {}

  std::string vertex_name() const override { return name_; }
  bool ignore_error() const override { return options_.ignore_error; }

  Result<Attrs> run(const std::vector<Exported>& results, Context& context) override {
    return without_lost([&](const std::set<std::string>& lost) {
      Result<Attrs> answer = attempt(results, lost, context);
      // What the registry was believed to have, it has not: the next attempt asks for each blob.
      if (get_detail(answer.status(), registry::kMissingBlobsDetail)) answer = attempt(results, lost, context);
      return answer;
    });
  }

 private:
  Result<Attrs> attempt(const std::vector<Exported>& results, const std::set<std::string>& lost, Context& context) {
    KILN_ASSIGN_OR_RETURN(auto target, make_target_(attrs_, ports_, context));
    // Each blob once, though it may be several layers, and while others are made.
    Sending layers_out(ports_.pool, kUploadsMax,
                       [&](const store::LayerBlob& layer) { return send_layer(*target, layer, context); });
    auto preparing = std::make_unique<event::Phase>(context.reporter, "preparing build cache for export");
    auto found = [&](const store::LayerBlob& layer) { layers_out.add(layer); };
    KILN_ASSIGN_OR_RETURN(auto collected,
                          collect(results, {options_.mode, options_.layers, found, lost}, ports_, context));
    preparing.reset();
    if (collected.config.layers.empty()) {
      event::Phase(context.reporter, "skipping cache export for empty result").done();
      return Attrs();
    }
    event::Phase sending(context.reporter, "sending cache export");
    std::vector<content::Descriptor> layers;
    for (const auto& layer : collected.config.layers) {
      layers.push_back(published(layer_descriptor(collected.blobs.at(layer.blob), options_.oci_types)));
    }
    const Manifest manifest = manifest_of(collected.config, std::move(layers));
    KILN_RETURN_IF_ERROR(layers_out.finish());
    if (!target->stands(manifest.root)) KILN_RETURN_IF_ERROR(publish(*target, manifest, context));
    return Attrs{{"cache.manifest", content::to_json(manifest.root)}};
  }

  Status send_layer(Target& target, const store::LayerBlob& layer, Context& context) const {
    if (context.stop.stop_requested()) return cancelled();
    event::Phase writing(context.reporter, fmt::format("writing layer {}", layer.blob.digest.str()), layer.blob.size);
    Status status =
        target.put_blob(layer_descriptor(layer, options_.oci_types), ports_.trees->provider_for(layer), context);
    return status.ok() || is_cancelled(status) ? status : annotate(status, "error writing layer blob");
  }

  // What the layers are named by, and the bytes of both its parts.
  struct Manifest {
    content::Descriptor config, root;
    std::string config_text, text;
  };
  Manifest manifest_of(const CacheConfig& cache_config, std::vector<content::Descriptor> layers) const {
    Manifest out;
    out.config_text = to_json(cache_config);
    out.config = descriptor_of(out.config_text, kCacheConfigType);
    out.text = manifest_text(options_, out.config, std::move(layers), out.root);
    return out;
  }

  Status publish(Target& target, const Manifest& manifest, Context& context) {
    {
      event::Phase writing(context.reporter, fmt::format("writing config {}", manifest.config.digest.str()));
      Status status = target.put_bytes(manifest.config, manifest.config_text, context);
      if (!status.ok()) return annotate(status, "error writing config blob");
    }
    event::Phase writing(context.reporter,
                         fmt::format("writing cache {}manifest {}", options_.image_manifest ? "image " : "",
                                     manifest.root.digest.str()));
    Status status = target.put_manifest(manifest.root, manifest.text, context);
    return status.ok() ? status : annotate(status, "error writing manifest blob");
  }

  std::string name_;
  Attrs attrs_;
  Options options_;
  Ports ports_;
  MakeTarget make_target_;
};

// type=inline: nothing to do at the end; the image carries the records.
class InlineExport final : public CacheExport {
 public:
  std::string vertex_name() const override { return "exporting inline cache"; }
  bool is_inline() const override { return true; }
  Result<Attrs> run(const std::vector<Exported>&, Context&) override { return Attrs(); }
};

Result<std::unique_ptr<CacheExport>> make_known(const Spec& spec, const Ports& ports) {
  if (spec.type == "inline") return std::make_unique<InlineExport>();
  KILN_ASSIGN_OR_RETURN(auto object_export, make_object_export(spec, ports));
  if (object_export) return object_export;
  if (spec.type != "registry" && spec.type != "local") return nullptr;
  KILN_ASSIGN_OR_RETURN(auto options, read_options(spec.attrs));
  if (spec.type == "registry") {
    KILN_RETURN_IF_ERROR(reference_attribute(spec.attrs).status());
    KILN_RETURN_IF_ERROR(bool_attribute(spec.attrs, "registry.insecure", false).status());
    return std::make_unique<ManifestExport>("exporting cache to registry", spec.attrs, std::move(options), ports,
                                            make_registry_target);
  }
  if (attribute(spec.attrs, "dest").empty()) {
    return user_error(Code::kInvalidArgument, "local cache exporter requires dest");
  }
  return std::make_unique<ManifestExport>("exporting cache to client directory", spec.attrs, std::move(options), ports,
                                          make_local_target);
}

}  // namespace

Result<std::unique_ptr<CacheExport>> make_cache_export(const Spec& spec, const Ports& ports) {
  auto made = make_known(spec, ports);
  if (!made.ok()) return annotate(made.status(), fmt::format("failed to configure {} cache exporter", spec.type));
  if (*made == nullptr)
    return user_error(Code::kUnimplemented, fmt::format("unknown cache exporter: \"{}\"", spec.type));
  return made;
}

}  // namespace kiln::remotecache
