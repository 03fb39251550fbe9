// The daemon as a process: from a configuration to its end.
//
//   return run_daemon(config).ok() ? 0 : 1;
#pragma once

#include "base/status.h"
#include "daemon/config.h"

namespace kiln::daemon {

// Takes the lock of the root directory, opens everything, listens, and returns when it was told to
// leave: the first SIGTERM or SIGINT lets builds end, the second cancels them, the third ends the
// process. Uses the calling thread for signals; call it before other threads are made.
Status run_daemon(const Config& config);

}  // namespace kiln::daemon
