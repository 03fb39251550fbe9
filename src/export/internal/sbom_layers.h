// The scanner's list of files learns which layer each file came with (AT-013).
#pragma once

#include <stop_token>
#include <vector>

#include "export/exporter.h"
#include "export/internal/result_blobs.h"

namespace kiln::exporter::internal {

// For the core SBOM in SPDX form: each file without a comment gets "layerID: <digest of the layer
// blob>". Anything else, and documents that cannot be read, come back as they are. Reads layers from
// the top until every file is found: blocking, cancellable.
Result<Attestation> with_layer_ids(const Attestation& attestation, const std::vector<store::LayerBlob>& layers,
                                   ResultBlobs& blobs, store::Trees& trees, std::stop_token stop);

}  // namespace kiln::exporter::internal
