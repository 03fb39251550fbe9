// Calls of the daemon to a client's door (direct_door.h), when it has one that can be reached.
//
//   std::unique_ptr<ClientCall> call = start_call(*session, "/moby.filesync.v1.FileSync/DiffCopy", options);
#pragma once

#include <memory>

#include "session/internal/call.h"

namespace kiln::session::internal {

// The direct way if there is one, else the tunnel. `method` is a string literal.
std::unique_ptr<ClientCall> start_call(Session& session, const char* method, const CallOptions& options);

}  // namespace kiln::session::internal
