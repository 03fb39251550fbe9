// An encoder that cuts the stream into chunks of one size, lets threads compress each by itself, and
// writes what they make in order. What comes out depends on the bytes and the packer alone, neither on
// the number of threads nor on the sizes of the writes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "layer/compression.h"

namespace kiln::layer::internal {

// Compresses chunks; each by itself is a whole stream (a gzip member, a zstd frame, or several). One thread.
class ChunkPacker {
 public:
  virtual ~ChunkPacker() = default;
  // Appends the compressed chunk to `out`; an empty chunk gives an empty stream. False only when
  // memory is out.
  virtual bool pack(std::string_view chunk, std::string& out) = 0;
};

struct Chunking {
  std::size_t chunk_bytes = 0;
  int threads = 1;
  std::function<std::unique_ptr<ChunkPacker>()> make_packer;  // called in each thread
};

// Fails with ResourceExhausted, when written to, if memory is out.
std::unique_ptr<Encoder> make_chunked_encoder(Chunking chunking, ByteSink& sink);

}  // namespace kiln::layer::internal
