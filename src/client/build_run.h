// Runs one build on a daemon: opens the session that answers what the daemon asks, sends the
// request, follows its progress, and finishes what lies with the client (indexes of written
// layouts).
//
//   KILN_ASSIGN_OR_RETURN(BuildOutcome outcome, run_build(*connection, request, hooks, stop));
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "client/build_request.h"
#include "client/progress.h"
#include "client/rpc.h"

namespace kiln::client {

struct BuildOutcome {
  Attributes response;    // of the exporters
  Attributes subrequest;  // metadata of a frontend's answer, when the request named a subrequest
};

struct BuildHooks {
  std::function<void(ProgressUpdate)> told;  // from another thread, one call at a time; empty: not asked for
  std::function<void(const std::string&)> warned;
  EnvironmentLookup environment;
};

// Blocking; Cancelled soon after a stop. Errors of the daemon begin with "failed to solve".
Result<BuildOutcome> run_build(const Connection& connection, const BuildRequest& request, const BuildHooks& hooks,
                               std::stop_token stop);

}  // namespace kiln::client
