// The bytes of an exported image: what was written locally, and layers that may still be elsewhere.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "content/blob_provider.h"
#include "store/trees.h"

namespace kiln::exporter::internal {

// Any thread. Made while the image is written, read while it is sent.
class ResultBlobs final : public content::BlobProvider {
 public:
  explicit ResultBlobs(content::BlobStore& blobs) : local_(blobs) {}

  void add(store::Trees& trees, const store::LayerBlob& layer);
  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override;
  // Repositories of `domain` that have the layer, for mounting instead of uploading.
  std::vector<std::string> repositories(const Digest& digest, const std::string& domain) const;

 private:
  content::StoreProvider local_;
  std::map<Digest, std::shared_ptr<content::BlobProvider>> remote_;
  std::map<Digest, content::StringMap> annotations_;
};

}  // namespace kiln::exporter::internal
