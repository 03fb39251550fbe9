// One blob of a registry or of a client's layout as a file: docker-image+blob:// and
// oci-layout+blob://. The reference carries the digest, so the key needs nobody to be asked.
//
//   sources.add(std::make_shared<BlobSource>(images));
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "source/image.h"

namespace kiln::source {

// Any thread.
class BlobSource final : public Source {
 public:
  explicit BlobSource(std::shared_ptr<ImageSource> images) : images_(std::move(images)) {}
  std::vector<std::string> schemes() const override { return {"docker-image+blob", "oci-layout+blob"}; }
  Result<std::unique_ptr<Fetch>> open(const graph::SourceOp& op, const std::optional<Platform>& platform) override;

 private:
  std::shared_ptr<ImageSource> images_;
};

}  // namespace kiln::source
