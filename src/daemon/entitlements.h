// What a build may do beyond the ordinary, because its client asked for it and the configuration
// allows it: the host's network, privileged steps, container devices.
//
//   KILN_ASSIGN_OR_RETURN(auto granted, Entitlements::parse(request.entitlements, allowed));
//   KILN_RETURN_IF_ERROR(granted.check(exec, devices));
//
// A request reads "network.host", "security.insecure", "device" (all devices) or
// "device=NAME[,alias=OTHER]": with an alias, a step that asks for OTHER gets NAME.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/op.h"

namespace kiln::sandbox {
class ContainerDevices;
}

namespace kiln::daemon {

// Immutable once made; any thread.
class Entitlements {
 public:
  Entitlements() = default;
  // InvalidArgument for what is no entitlement, PermissionDenied for one that is not in `allowed`.
  static Result<Entitlements> parse(const std::vector<std::string>& asked, const std::set<std::string>& allowed);

  // "network.host is not allowed", PermissionDenied.
  Status check_host_network() const;
  Status check_insecure() const;
  // All of the above for a step; its devices become the full names of those it gets. Null devices:
  // the daemon has none. NotFound for a required device that is not there, PermissionDenied for one
  // that needs an entitlement.
  Status check(graph::ExecOp& exec, const sandbox::ContainerDevices* devices) const;

 private:
  Status add_device(std::string_view text);
  Status check_devices(graph::ExecOp& exec, const sandbox::ContainerDevices& devices) const;

  std::set<std::string> names_;
  bool all_devices_ = false;
  std::map<std::string, std::string> devices_;  // name that a step uses to what it means; "" is itself
};

}  // namespace kiln::daemon
