// gateway.v0: a frontend that is a program in an image. It runs in a container and speaks LLBBridge
// over its standard input and output.
//
//   frontends["gateway.v0"] = std::make_shared<GatewayFrontend>(ports);
//
// Environment, labels and mounts are those of BuildKit's frontend/gateway: BUILDKIT_FRONTEND_OPT_n,
// BUILDKIT_SESSION_ID, BUILDKIT_WORKERS, BUILDKIT_EXPORTEDPRODUCT; labels
// moby.buildkit.frontend.network.none and .caps; /run/config/buildkit/metadata/frontend.bin.
#pragma once

#include <string>
#include <vector>

#include "base/pool.h"
#include "frontend/bridge.h"
#include "sandbox/runtime.h"
#include "store/trees.h"

namespace kiln::daemon {

struct GatewayFrontendPorts {
  Pool* pool = nullptr;
  store::Trees* trees = nullptr;
  sandbox::Runtime* runtime = nullptr;
  std::vector<std::string> allowed_repositories;  // "docker.io/docker/dockerfile"; empty: all
};

// Immutable; any thread. The bridges it is called with must be those of builds (BuildBridge).
class GatewayFrontend final : public frontend::Frontend {
 public:
  explicit GatewayFrontend(GatewayFrontendPorts ports) : ports_(std::move(ports)) {}
  Result<frontend::SolveResult> build(frontend::Bridge& bridge, std::stop_token stop) const override;

 private:
  GatewayFrontendPorts ports_;
};

}  // namespace kiln::daemon
