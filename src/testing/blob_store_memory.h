// A blob store in memory for tests; behaves as the contract in contract/blob_contract.h says.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "content/blob_store.h"

namespace kiln::testing {

// Any thread.
class MemoryBlobStore final : public content::BlobStore {
 public:
  Result<std::optional<content::BlobInfo>> info(const Digest& digest) override;
  Result<std::unique_ptr<content::BlobReader>> open(const Digest& digest, std::int64_t offset = 0) override;
  Result<std::unique_ptr<content::BlobWriter>> ingest(std::string_view algorithm = "sha256") override;
  Status remove(const Digest& digest) override;
  Status walk(const std::function<Status(const content::BlobInfo&)>& visit) override;
  Status set_labels(const Digest& digest, const content::StringMap& labels) override;

  struct Blob {
    std::shared_ptr<const std::string> bytes;
    content::StringMap labels;
  };
  void put(const Digest& digest, Blob blob);

 private:
  std::mutex mutex_;
  std::map<Digest, Blob> blobs_;
};

}  // namespace kiln::testing
