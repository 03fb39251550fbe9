// An OCI layout as one tar stream: blobs, index.json, oci-layout and, for docker, manifest.json;
// sorted by name, so that the same image gives the same bytes.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "base/stream.h"
#include "content/blob_provider.h"
#include "content/descriptor.h"

namespace kiln::exporter::internal {

// Everything a root leads to, itself included, each once, parents before children.
Result<std::vector<content::Descriptor>> reachable_blobs(const content::Descriptor& root, content::BlobProvider& blobs,
                                                         std::stop_token stop);

struct LayoutTar {
  content::Descriptor root;
  std::vector<std::string> names;  // full references; may be empty
  bool docker_manifest = false;    // add manifest.json when the root is a single image
};

// Blocking, cancellable.
Status write_layout_tar(const LayoutTar& layout, content::BlobProvider& blobs, ByteSink& sink, std::stop_token stop);

}  // namespace kiln::exporter::internal
