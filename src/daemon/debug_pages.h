// The pages of the debug address that tell of builds. See debug_server.h.
#pragma once

#include <string>

#include "daemon/builds.h"
#include "daemon/debug_server.h"
#include "observe/metrics.h"
#include "session/session.h"

namespace kiln::daemon {

// All outlive the pages.
struct DebugGround {
  observe::Metrics& metrics;
  Builds& builds;
  session::Sessions& sessions;
  std::string root;
};
DebugPages debug_pages(const DebugGround& ground);

}  // namespace kiln::daemon
