// An image goes to a registry: blobs in parallel, then manifests, the root last (EX-011, EX-029).
#pragma once

#include <string>

#include "content/descriptor.h"
#include "export/exporter.h"
#include "export/internal/result_blobs.h"

namespace kiln::exporter::internal {

struct PushOptions {
  std::string name;
  bool by_digest = false;  // untagged; the name must be a bare one
  bool insecure = false;
};

// Blocking, cancellable. Foreign layers are not sent. What the registry has, or can mount from another
// of its repositories, is not sent either.
Status push_image(const content::Descriptor& root, ResultBlobs& blobs, const ExportPorts& ports,
                  const PushOptions& options, ExportContext& context);

}  // namespace kiln::exporter::internal
