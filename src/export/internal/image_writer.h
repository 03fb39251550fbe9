// A build's result becomes an image: layers, config, manifest, and an index when there are several
// platforms or attestations (EX-026, EX-027). Used by the exporters image, oci and docker.
//
// Formats: OCI image-spec v1.1, Docker manifest v2 schema 2; attestations as in BuildKit's
// docs/attestations/attestation-storage.md.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "content/descriptor.h"
#include "content/image_config.h"
#include "export/exporter.h"
#include "export/internal/image_options.h"
#include "export/internal/platforms.h"
#include "export/internal/result_blobs.h"

namespace kiln::exporter::internal {

struct WrittenImage {
  content::Descriptor root;  // manifest or index, with the descriptor's annotations and platform
  Digest config_digest;      // of a single image; empty for an index
  std::shared_ptr<ResultBlobs> blobs;
  std::vector<Digest> written;  // small blobs made here: configs, manifests, statements
};

// One use, one thread.
class ImageWriter {
 public:
  ImageWriter(const ExportPorts& ports, const ImageOptions& options, ExportContext& context)
      : ports_(ports), options_(options), context_(context), blobs_(std::make_shared<ResultBlobs>(*ports.blobs)) {}

  // `told` hears of each layer as soon as it is there, from several threads at once; write() waits for it.
  void tell_layers(std::function<void(const store::LayerBlob&)> told) { told_ = std::move(told); }
  // Blocking, cancellable. `names` (comma-separated) are the subjects of attestations.
  Result<WrittenImage> write(const BuildResult& result, const std::string& names);

 private:
  struct Image {
    content::Descriptor manifest;
    content::Descriptor config;
    std::vector<store::LayerBlob> layers;
  };
  Status check(const BuildResult& result, const std::vector<ResultPlatform>& platforms, bool index) const;
  Result<WrittenImage> write_single(const BuildResult& result, const ResultPlatform& platform);
  Result<WrittenImage> write_index(const BuildResult& result, const std::vector<ResultPlatform>& platforms,
                                   const std::string& names);
  Result<Image> write_image(const BuildResult& result, const ResultPlatform& platform, const Annotations& annotations,
                            std::vector<store::LayerBlob> layers);
  Result<std::vector<std::vector<store::LayerBlob>>> make_layers(const BuildResult& result,
                                                                 const std::vector<ResultPlatform>& platforms);
  Result<store::LayerOptions> wanted_layers(const BuildResult& result, const std::string& id) const;
  content::Descriptor manifest_layer(const store::LayerBlob& layer) const;
  Result<content::Descriptor> write_attestations(const BuildResult& result, const ResultPlatform& platform,
                                                 const Image& image, const std::string& names);
  Result<content::Descriptor> put(std::string_view bytes, std::string_view media_type, const std::string& what);

  const ExportPorts& ports_;
  const ImageOptions& options_;
  ExportContext& context_;
  std::shared_ptr<ResultBlobs> blobs_;
  std::vector<Digest> written_;
  std::function<void(const store::LayerBlob&)> told_;
};

// Names of the image as they are tagged: parsed, ":latest" where there is no tag.
Result<std::vector<std::string>> normalized_names(const std::string& names);
// "*" replaced by what the result calls itself.
std::string settled_name(const std::string& name, const BuildResult& result);
// The response that all image exporters give.
Attrs image_response(const WrittenImage& image, const std::string& names);

}  // namespace kiln::exporter::internal
