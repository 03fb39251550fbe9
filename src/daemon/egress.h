// What the steps of a build may fetch while they run: every request that goes through the proxy
// network is put to the build's rules, as if the address were a source of its graph.
//
//   context->ports.decide_fetch = egress_rules(context);
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"

namespace kiln::daemon {

struct BridgeContext;

// Gives another address where a rule converts to one, nothing where the address is allowed as it is.
// PermissionDenied where a rule denies it, or where a rule demands what a fetch cannot have, such as a
// checksum; Cancelled when the build is gone. Blocks on the client when it verifies sources itself.
std::function<Result<std::optional<std::string>>(const std::string& url, std::stop_token stop)> egress_rules(
    const std::shared_ptr<BridgeContext>& context);

}  // namespace kiln::daemon
