// One chunk of a layer as zstd frames (RFC 8878). Pure: the bytes depend on the chunk alone.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "layer/internal/chunked_encoder.h"

struct ZSTD_CCtx_s;

namespace kiln::layer::internal {

// Of the default effort. Its window ends with the chunk: half as much costs two percent on source code.
inline constexpr std::size_t kZstdChunkBytes = 2 << 20;

// With the default effort. What looks random is stored, the rest is compressed at a level that a sample
// chooses.
class ZstdChunker final : public ChunkPacker {
 public:
  ZstdChunker();
  ~ZstdChunker() override;
  ZstdChunker(const ZstdChunker&) = delete;
  ZstdChunker& operator=(const ZstdChunker&) = delete;

  bool pack(std::string_view chunk, std::string& out) override;

 private:
  int level_for(std::string_view sample);
  std::string_view frame(int level, std::string_view bytes);
  bool append_frame(int level, std::string_view bytes, std::string& out);

  ZSTD_CCtx_s* context_;  // null: memory is out
  std::string scratch_;
};

// Appends the bytes, not more than 4 GiB and not none, as one frame of raw blocks.
void append_stored_frame(std::string_view bytes, std::string& out);

}  // namespace kiln::layer::internal
