// Layers are compressed on their way out and decompressed on their way in; both as streams.
//
//   KILN_ASSIGN_OR_RETURN(auto encoder, make_encoder({.type = Compression::kZstd}, sink));
//   KILN_RETURN_IF_ERROR(encoder->write(bytes)); KILN_RETURN_IF_ERROR(encoder->finish());
//   KILN_ASSIGN_OR_RETURN(auto plain, decompress(source));   // by magic; plain bytes pass through
//
// Same input, same options, same bytes out: whatever the number of threads, the sizes of the writes
// or the processor. Gzip is written as members and zstd, with the default effort, as frames that were
// compressed independently, so threads can share the work; any gunzip or unzstd reads them. Formats:
// RFC 1951, 1952 (gzip), 8878 (zstd).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/stream.h"

namespace kiln::layer {

enum class Compression { kUncompressed, kGzip, kZstd, kEstargz };

struct CompressionOptions {
  Compression type = Compression::kGzip;
  // gzip and estargz 0–9 (0 stores), zstd 0–22; absent: the default of ours, about as small as
  // gzip -6 or zstd -3 and fast.
  std::optional<int> level;
  int threads = 0;  // 0: one a processor
};

// InvalidArgument (fault: user) for an unknown name: "uncompressed", "gzip", "estargz", "zstd".
Result<Compression> parse_compression(std::string_view name);
std::string_view to_string(Compression type);

// A sink that compresses into another. One thread calls it; it may own threads. Destroying it
// unfinished abandons the output.
class Encoder : public ByteSink {
 public:
  // Writes what is left and the trailer; must be called once, nothing may follow.
  virtual Status finish() = 0;
};

// `sink` is written to by the calling thread only and must outlive the encoder. InvalidArgument for
// a level out of range. kEstargz takes tar bytes only and appends its table to them, so LayerEncoder is
// the one to use for it.
Result<std::unique_ptr<Encoder>> make_encoder(const CompressionOptions& options, ByteSink& sink);

// What the first bytes (at least 10, fewer at the end of a short stream) are compressed with; bytes
// of no known magic count as kUncompressed. Estargz looks like gzip.
Compression detect(std::string_view first_bytes);

// Decompresses by magic; takes the source over. Reads of the result fail with FailedPrecondition
// (fault: peer) when the stream is damaged or cut short. Several gzip members or zstd frames in a
// row are one stream.
Result<std::unique_ptr<ByteSource>> decompress(std::unique_ptr<ByteSource> source);
// The same, with the kind known.
std::unique_ptr<ByteSource> decompress_as(Compression type, std::unique_ptr<ByteSource> source);

}  // namespace kiln::layer
