// What dial-stdio does once it is connected.
#pragma once

#include <stop_token>

#include "base/status.h"

namespace kiln::client {

// Moves bytes from `in` to the daemon's socket and from there to `out`, until the daemon's side has ended
// or nobody reads `out` any more; neither is an error. SIGPIPE must be ignored. Blocking, cancellable.
Status carry(int in, int out, int daemon, std::stop_token stop);

}  // namespace kiln::client
