// A frontend as a program of its own: in a container that a BuildKit daemon started, it speaks
// LLBBridge over its standard streams.
//
//   int main() { return guest::run_frontend(*frontend::dockerfile::make_frontend()); }
//
// What is asked of it stands in the environment (BUILDKIT_FRONTEND_OPT_n, BUILDKIT_SESSION_ID,
// BUILDKIT_EXPORTEDPRODUCT); its answer, result or error, goes back with the call Return. Protocol:
// moby/buildkit frontend/gateway/pb/gateway.proto.
#pragma once

#include "frontend/bridge.h"

namespace kiln::guest {

// Blocks until the answer has been taken. 0; 1 when the daemon could not be spoken to, which is said
// on standard error.
int run_frontend(const frontend::Frontend& frontend);

}  // namespace kiln::guest
