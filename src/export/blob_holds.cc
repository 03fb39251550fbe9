#include "export/internal/blob_holds.h"

#include "base/id.h"
#include "base/log.h"

namespace kiln::exporter::internal {

BlobHolds::BlobHolds(store::Trees& trees, const std::vector<Digest>& blobs)
    : trees_(trees), owner_("export/" + new_id()) {
  for (const auto& blob : blobs) {
    if (Status status = trees_.hold_blob(owner_, blob); !status.ok()) {
      log_warn("hold blob {} of an export: {}", blob.str(), message_of(status));
    }
  }
}

BlobHolds::~BlobHolds() {
  if (Status status = trees_.release_blobs(owner_); !status.ok()) {
    log_warn("release blobs of an export: {}", message_of(status));
  }
}

}  // namespace kiln::exporter::internal
