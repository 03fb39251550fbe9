#include "export/internal/result_blobs.h"

#include "base/text.h"

namespace kiln::exporter::internal {

void ResultBlobs::add(store::Trees& trees, const store::LayerBlob& layer) {
  if (layer.provider) remote_[layer.blob.digest] = trees.provider_for(layer);
  annotations_[layer.blob.digest] = layer.blob.annotations;
}

Result<std::unique_ptr<ByteSource>> ResultBlobs::open(const content::Descriptor& blob, std::int64_t offset,
                                                      std::stop_token stop) {
  auto local = local_.open(blob, offset, stop);
  if (local.ok() || !is_not_found(local.status())) return local;
  auto it = remote_.find(blob.digest);
  if (it == remote_.end()) return local;
  return it->second->open(blob, offset, stop);
}

std::vector<std::string> ResultBlobs::repositories(const Digest& digest, const std::string& domain) const {
  std::vector<std::string> out;
  auto it = annotations_.find(digest);
  if (it == annotations_.end()) return out;
  auto source = it->second.find("containerd.io/distribution.source." + domain);
  if (source == it->second.end()) return out;
  for (std::string_view name : split(source->second, ',')) {
    if (!name.empty()) out.emplace_back(name);
  }
  return out;
}

}  // namespace kiln::exporter::internal
