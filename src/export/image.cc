// The exporter "image": writes an image into the daemon's content and, when asked, pushes it.
#include <fmt/format.h>

#include "base/text.h"
#include "export/internal/blob_holds.h"
#include "export/internal/exporters.h"
#include "export/internal/image_writer.h"
#include "export/internal/push.h"

namespace kiln::exporter::internal {
namespace {

struct ImageFlags {
  bool push = false;
  bool push_by_digest = false;
  bool insecure = false;
  bool unpack = false;
  bool store = true;
  bool allow_incomplete = false;
  bool dangling_empty_only = false;
  bool name_canonical = false;
  std::string dangling_prefix;
};

using Pushes = std::vector<std::unique_ptr<ImagePush>>;

class PendingImage final : public PendingExport {
 public:
  PendingImage(const ExportPorts& ports, WrittenImage image, Attrs response, Pushes pushes)
      : image_(std::move(image)),
        response_(std::move(response)),
        pushes_(std::move(pushes)),
        holds_(*ports.trees, image_.written) {}

  Status finish(ExportContext& context) override {
    for (const auto& push : pushes_) {
      Status status = push->finish(image_.root, *image_.blobs, context);
      if (is_cancelled(status)) return status;
      if (!status.ok()) return annotate(status, fmt::format("failed to push {}", push->name()));
    }
    return ok();
  }
  const Attrs& response() const override { return response_; }
  std::optional<content::Descriptor> descriptor() const override { return image_.root; }

 private:
  WrittenImage image_;
  Attrs response_;
  Pushes pushes_;
  BlobHolds holds_;
};

class ImageExporter final : public Exporter {
 public:
  ImageExporter(ImageOptions options, ImageFlags flags, Attrs extra, const ExportPorts& ports)
      : options_(std::move(options)), flags_(std::move(flags)), extra_(std::move(extra)), ports_(ports) {}

  std::string type() const override { return "image"; }
  std::string vertex_name() const override { return "exporting to image"; }
  store::LayerOptions layer_options() const override { return options_.layer_options(); }

  Result<std::unique_ptr<PendingExport>> run(const BuildResult& given, ExportContext& context) override {
    BuildResult result = given;
    for (const auto& [key, value] : extra_) result.metadata[key] = value;
    KILN_ASSIGN_OR_RETURN(ImageOptions options, settled_options(options_, result, context, false));
    std::string names = settled_name(options.name, result);
    // Layers are on their way while later ones are made.
    Pushes pushes = pushes_to(names);
    ImageWriter writer(ports_, options, context);
    if (!pushes.empty()) {
      writer.tell_layers([&](const store::LayerBlob& layer) {
        for (const auto& push : pushes) push->send_ahead(layer, context);
      });
    }
    KILN_ASSIGN_OR_RETURN(WrittenImage image, writer.write(result, names));
    std::string pushed_names = with_dangling(names, image.root.digest);
    if (pushed_names != names) {
      Pushes all = pushes_to(pushed_names);
      for (std::size_t i = 0; i < pushes.size(); ++i) all[i] = std::move(pushes[i]);
      pushes = std::move(all);
    }
    Attrs response = image_response(image, pushed_names);
    return std::unique_ptr<PendingExport>(
        new PendingImage(ports_, std::move(image), std::move(response), std::move(pushes)));
  }

 private:
  Pushes pushes_to(const std::string& names) const {
    Pushes out;
    if (!flags_.push) return out;
    for (std::string_view name : split(names, ',')) {
      if (name.empty()) continue;
      out.push_back(
          std::make_unique<ImagePush>(ports_, PushOptions{std::string(name), flags_.push_by_digest, flags_.insecure}));
    }
    return out;
  }

  // Names that depend on the digest stand at the end.
  std::string with_dangling(const std::string& names, const Digest& digest) const {
    if (flags_.dangling_prefix.empty() || (flags_.dangling_empty_only && !names.empty())) return names;
    std::string dangling = flags_.dangling_prefix + "@" + digest.str();
    return names.empty() ? dangling : names + "," + dangling;
  }

  ImageOptions options_;
  ImageFlags flags_;
  Attrs extra_;
  ExportPorts ports_;
};

Status take_flag(Attrs& attrs, const char* key, bool& out) {
  auto node = attrs.extract(key);
  if (node.empty()) return ok();
  KILN_ASSIGN_OR_RETURN(out, flag_attr(key, node.mapped()));
  return ok();
}

}  // namespace

Result<std::unique_ptr<Exporter>> make_image_exporter(Attrs attrs, const ExportPorts& ports) {
  // An image lives in a registry or a store of images: attestations go along unless told otherwise.
  attrs.try_emplace("attestation-inline", "true");
  KILN_ASSIGN_OR_RETURN(ImageOptions options, ImageOptions::take(attrs));
  ImageFlags flags;
  KILN_RETURN_IF_ERROR(take_flag(attrs, "push", flags.push));
  KILN_RETURN_IF_ERROR(take_flag(attrs, "push-by-digest", flags.push_by_digest));
  KILN_RETURN_IF_ERROR(take_flag(attrs, "registry.insecure", flags.insecure));
  KILN_RETURN_IF_ERROR(take_flag(attrs, "unpack", flags.unpack));
  KILN_RETURN_IF_ERROR(take_flag(attrs, "store", flags.store));
  KILN_RETURN_IF_ERROR(take_flag(attrs, "unsafe-internal-store-allow-incomplete", flags.allow_incomplete));
  KILN_RETURN_IF_ERROR(take_flag(attrs, "danging-name-empty-only", flags.dangling_empty_only));
  KILN_RETURN_IF_ERROR(take_flag(attrs, "name-canonical", flags.name_canonical));
  if (auto node = attrs.extract("dangling-name-prefix"); !node.empty()) flags.dangling_prefix = node.mapped();
  return std::unique_ptr<Exporter>(new ImageExporter(std::move(options), std::move(flags), std::move(attrs), ports));
}

Result<ImageOptions> settled_options(const ImageOptions& given, const BuildResult& result, const ExportContext& context,
                                     bool always_oci) {
  ImageOptions options = given;
  Attrs metadata = result.metadata;
  KILN_ASSIGN_OR_RETURN(auto annotations, AnnotationGroup::take(metadata));
  options.annotations.merge(annotations);
  bool newest = context.compatibility_version == 0 || context.compatibility_version >= kCompatibility031;
  if (!options.oci_types) options.oci_types = always_oci || newest || !result.attestations.empty();
  if (!options.oci_artifact) options.oci_artifact = newest && options.oci();
  KILN_RETURN_IF_ERROR(options.check());
  return options;
}

}  // namespace kiln::exporter::internal
