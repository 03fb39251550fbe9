// Layers with their times clamped to SOURCE_DATE_EPOCH (rewrite-timestamp, EX-020).
#pragma once

#include <memory>
#include <stop_token>

#include "base/clock.h"
#include "content/blob_provider.h"
#include "content/blob_store.h"
#include "layer/compression.h"
#include "store/tree.h"

namespace kiln::exporter::internal {

// The layer anew, every entry's time at most `epoch`, in the compression asked for. What was made once
// for the same layer is found again by a label of the blob. Blocking, cancellable.
Result<store::LayerBlob> rewrite_layer(const store::LayerBlob& layer, content::BlobProvider& from,
                                       content::BlobStore& blobs, Time epoch,
                                       const layer::CompressionOptions& compression, std::stop_token stop);

// "application/vnd.oci.image.layer.v1.tar+gzip" and so on.
std::string_view layer_media_type(layer::Compression compression);

}  // namespace kiln::exporter::internal
