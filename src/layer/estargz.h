// Layers that a lazy snapshotter can read file by file: gzip members cut at file contents, a table of
// contents as last tar member and a footer that points at it. Any gunzip reads them as a plain layer.
//
//   auto encoder = make_estargz_encoder({}, sink);      // usually through LayerEncoder
//   encoder->write(tar_bytes) … encoder->finish(); encoder->toc_digest();
//
// Format: containerd/stargz-snapshotter docs/estargz.md. The tar bytes are kept as they come; the
// table of contents is appended to them, so the layer has a diff id of its own: that of all of it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/digest.h"
#include "base/status.h"
#include "layer/compression.h"

namespace kiln::layer {

// Annotations of the layer's descriptor that readers need.
inline constexpr char kTocDigestAnnotation[] = "containerd.io/snapshot/stargz/toc.digest";
inline constexpr char kPlainSizeAnnotation[] = "io.containers.estargz.uncompressed-size";

class EstargzEncoder : public Encoder {
 public:
  // After finish(): digest of the table of contents, and the plain bytes that were appended to the tar.
  virtual const Digest& toc_digest() const = 0;
  virtual const std::string& appended() const = 0;
};

// `level` as for gzip. write() fails with FailedPrecondition when the bytes are no tar or hold a table
// of contents already. Holds one chunk (4 MiB) and the table.
std::unique_ptr<EstargzEncoder> make_estargz_encoder(std::optional<int> level, ByteSink& sink);

}  // namespace kiln::layer
