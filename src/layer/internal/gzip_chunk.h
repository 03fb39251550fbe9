// One chunk of a layer as gzip members. Pure: the bytes depend on chunk and level alone.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct libdeflate_compressor;

namespace kiln::layer::internal {

inline constexpr std::size_t kGzipChunkBytes = 1 << 20;

// One thread. Level 0–9 as the user means it; see gzip_chunk.cc for what the default is.
class GzipChunker {
 public:
  explicit GzipChunker(int level);
  ~GzipChunker();
  GzipChunker(const GzipChunker&) = delete;
  GzipChunker& operator=(const GzipChunker&) = delete;

  // Appends the members of `chunk` to `out`. False only when memory is out.
  bool compress(std::string_view chunk, std::string& out);

 private:
  bool append_member(libdeflate_compressor* compressor, std::string_view bytes, std::string& out);
  libdeflate_compressor* compressor_;
  libdeflate_compressor* storer_;
};

// Whether compressing the bytes would be labour lost: they look random and do not repeat themselves.
bool looks_incompressible(std::string_view bytes);

}  // namespace kiln::layer::internal
