// The encoders and decoders behind layer/compression.h, one file each.
#pragma once

#include <memory>
#include <vector>

#include "base/stream.h"
#include "layer/compression.h"

namespace kiln::layer::internal {

// The whole stream as one frame at that level.
Result<std::unique_ptr<Encoder>> make_zstd_encoder(int level, int threads, ByteSink& sink);
std::unique_ptr<ByteSource> make_gzip_decoder(std::unique_ptr<ByteSource> source);
std::unique_ptr<ByteSource> make_zstd_decoder(std::unique_ptr<ByteSource> source);

inline Status damaged(std::string_view what) { return peer_error(Code::kFailedPrecondition, what); }

}  // namespace kiln::layer::internal
