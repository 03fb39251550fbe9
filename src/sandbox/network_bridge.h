// A network for steps of our own: a bridge, a pair of interfaces a step, masquerading outwards. Steps
// reach the world and each other; nothing reaches them from elsewhere. Daemons that use the same
// bridge share its addresses through a lock file; the last one takes the bridge away, if one of them
// made it.
//
//   KILN_ASSIGN_OR_RETURN(auto network, open_bridge_network({.bridge = "buildkit0"}));
//   options.network = std::move(network);
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "sandbox/network.h"

namespace kiln::sandbox {

struct BridgeOptions {
  std::string bridge = "buildkit0";
  std::string subnet = "10.10.0.0/16";  // the first address is the bridge's
  int pool_size = 0;                    // namespaces kept ready from the start; 0: four once steps come
  std::string lock_folder = "/run/kiln";
};

// PermissionDenied without CAP_NET_ADMIN, InvalidArgument for a bad subnet, a bad name, or an
// interface of that name that is no bridge. Leases keep it alive.
Result<std::shared_ptr<Network>> open_bridge_network(BridgeOptions options);

}  // namespace kiln::sandbox
