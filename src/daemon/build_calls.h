// The two calls that every build makes, Control.Solve and Control.Status, whatever carries them: our own
// HTTP/2 (daemon/front_calls.h) or gRPC's library (daemon/control_service.cc).
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "daemon/builds.h"
#include "daemon/services.h"
#include "daemon/status_feed.h"
#include "http2/stream.h"

namespace moby::buildkit::v1 {
class SolveRequest;
}

namespace kiln::daemon {

// What an answer to Status begins with: clients correct their clocks by it.
inline constexpr const char* kTimestampField = "buildkit-current-timestamp";
std::string current_timestamp();

// Starts the build and calls `done` once, from any thread. `fields` came with the call. Never blocks.
void begin_solve(const ServiceGround& ground, const moby::buildkit::v1::SolveRequest& message,
                 const http2::Fields& fields, std::stop_token stop, std::function<void(Result<SolveResponse>)> done);

// Has the feed follow what the build of that ref tells, whether it runs, ended, or is about to begin:
// clients ask for the status and for the solve at the same time. Never blocks.
void begin_status(const ServiceGround& ground, const std::string& ref, std::shared_ptr<StatusFeed> feed);

}  // namespace kiln::daemon
