// A network for steps that the machine's owner configures: every namespace is set up by CNI plug-ins
// (cni_plugins.h).
//
//   KILN_ASSIGN_OR_RETURN(auto network, open_cni_network({.config = "/etc/buildkit/cni.json", …}));
//
// Each namespace is kept at <state>/<id>.ns with the plug-ins' answer beside it, so that a daemon
// that was killed can have them take down, the next time, what it left.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "sandbox/network.h"

namespace kiln::sandbox {

struct CniOptions {
  std::string config;
  std::string program_folder;
  std::string state_folder;
  int pool_size = 0;
};

// Sets one namespace up to prove the configuration: fails with what the plug-ins say. Blocks for as
// long as they do.
Result<std::shared_ptr<Network>> open_cni_network(CniOptions options);

}  // namespace kiln::sandbox
