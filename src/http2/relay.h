// Passes a stream on: what a client asks of one connection is asked of another, fields, bytes and ends, as
// they come and both ways. A slow end holds back the other.
#pragma once

#include <memory>

#include "http2/stream.h"

namespace kiln::http2 {

// From a stream that another opened to one of ours, opened with the same fields. Keeps both until both
// have closed. Not blocking.
void relay(std::shared_ptr<Stream> asked, std::shared_ptr<Stream> passed_on);

}  // namespace kiln::http2
