// Errors that fit on the wire: a gRPC error travels in two fields of an HTTP/2 head, and nghttp2 (like other
// implementations) takes fields up to 64 KiB. Pure; any thread.
#pragma once

#include "base/status.h"

namespace kiln::daemon {

// The same error, its message and details no larger than what fits; unchanged when they do already. Of source files
// only the lines around the marked ones are kept, at their places; what is still too large goes, largest first.
Status fit_on_the_wire(const Status& status);

}  // namespace kiln::daemon
