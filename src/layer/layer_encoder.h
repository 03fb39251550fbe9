// Tar bytes in, layer blob out, in one pass: the digest of the plain bytes (the diff id) is taken
// while they go to the compressor, and the compressed bytes go on to the sink, usually a blob ingest
// that takes their digest.
//
//   KILN_ASSIGN_OR_RETURN(auto encoder, LayerEncoder::make(options, *blob_writer));
//   TarWriter tar(*encoder);
//   KILN_RETURN_IF_ERROR(write_overlay_upper(upper, lowers, tar, {}, stop));
//   KILN_RETURN_IF_ERROR(tar.finish());
//   KILN_ASSIGN_OR_RETURN(EncodedLayer layer, encoder->finish());
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/digest.h"
#include "base/status.h"
#include "base/stream.h"
#include "layer/compression.h"

namespace kiln::layer {

struct EncodedLayer {
  Digest diff_id;  // sha256 of the plain tar (with the table that estargz appends)
  std::uint64_t plain_size = 0;
  std::uint64_t encoded_size = 0;
  std::map<std::string, std::string> annotations;  // that belong to the blob's descriptor (estargz)
};

// One thread calls it; owns the threads that help. The sink must outlive it and is written to by the
// calling thread only.
class LayerEncoder final : public ByteSink {
 public:
  // Fails like make_encoder.
  static Result<std::unique_ptr<LayerEncoder>> make(const CompressionOptions& options, ByteSink& sink);
  ~LayerEncoder() override;
  LayerEncoder(const LayerEncoder&) = delete;
  LayerEncoder& operator=(const LayerEncoder&) = delete;

  Status write(std::string_view bytes) override;
  Result<EncodedLayer> finish();

 private:
  struct State;
  explicit LayerEncoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A source that hashes what is read through it: diff ids while unpacking.
class HashingSource final : public ByteSource {
 public:
  explicit HashingSource(ByteSource& from) : from_(from) {}
  Result<std::size_t> read(std::span<char> buffer) override;
  std::uint64_t bytes() const { return bytes_; }
  Digest finish() { return hasher_.finish(); }  // once

 private:
  ByteSource& from_;
  Hasher hasher_;
  std::uint64_t bytes_ = 0;
};

}  // namespace kiln::layer
