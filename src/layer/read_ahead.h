// Lets the producer of a stream (a decompressor, a registry) work while the consumer writes files.
//
//   auto source = read_ahead(decompress_as(type, std::move(blob)));
//
// The thread is started only when the stream turns out to be longer than one buffer.
#pragma once

#include <memory>

#include "base/stream.h"

namespace kiln::layer {

// Takes the source over; it is read by one thread at a time, first the caller's, then a thread of the
// result, which ends with the result. Destroying it early waits for the read under way.
std::unique_ptr<ByteSource> read_ahead(std::unique_ptr<ByteSource> source);

}  // namespace kiln::layer
