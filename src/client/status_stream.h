// The Status stream of a build: fed into a view while another thread waits for the build.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "client/progress.h"
#include "client/rpc.h"

namespace moby::buildkit::v1 {
class StatusResponse;
}

namespace kiln::client {

ProgressUpdate update_of(const moby::buildkit::v1::StatusResponse& response);

// Calls back for each update until the stream ends. Blocking, cancellable. Cancelling is no error.
Status follow_status(const Connection& connection, const std::string& ref,
                     const std::function<void(const ProgressUpdate&)>& told, std::stop_token stop);

}  // namespace kiln::client
