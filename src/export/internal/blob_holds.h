// Keeps the small blobs of an export from being collected until its owner has recorded them.
#pragma once

#include <string>
#include <vector>

#include "base/digest.h"
#include "store/trees.h"

namespace kiln::exporter::internal {

// Releases in the destructor. The trees must outlive it.
class BlobHolds {
 public:
  BlobHolds(store::Trees& trees, const std::vector<Digest>& blobs);
  ~BlobHolds();
  BlobHolds(const BlobHolds&) = delete;
  BlobHolds& operator=(const BlobHolds&) = delete;

 private:
  store::Trees& trees_;
  std::string owner_;
};

}  // namespace kiln::exporter::internal
