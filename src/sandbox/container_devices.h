// Devices that the machine's owner describes for containers (Container Device Interface): by files
// that say which nodes, mounts and variables a container needs to use one. A step asks for them by
// name ("vendor.com/class=name"), by kind (the first), by kind and "*" (all), or by a class that the
// files give them.
//
//   ContainerDevices devices({.folders = {"/etc/cdi"}});
//   KILN_ASSIGN_OR_RETURN(auto names, devices.find("vendor.com/gpu=all", /*optional=*/false));
//   KILN_RETURN_IF_ERROR(devices.inject(names, container, process));
//
// Format: CDI specification 0.6 and later (tags.cncf.io/container-device-interface), YAML or JSON.
// Hooks are not run.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

struct ContainerDevicesOptions {
  std::vector<std::string> folders = {"/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"};  // later ones win
  std::set<std::string> auto_allowed;  // names and kinds that need no entitlement
  bool disabled = false;
};

struct ContainerDevice {
  std::string name;  // "vendor.com/class=name"
  bool auto_allowed = false;
  std::map<std::string, std::string> annotations;
};

// Any thread. The files are read anew for every call: they are few, and change without notice.
class ContainerDevices {
 public:
  explicit ContainerDevices(ContainerDevicesOptions options) : options_(std::move(options)) {}

  // All of them, by name. Files that cannot be read are left out, with a line in the log.
  std::vector<ContainerDevice> list() const;
  // The full names that a request means. Empty for an optional one that is not there; NotFound
  // "required device "x" is not registered" otherwise.
  Result<std::vector<std::string>> find(std::string_view request, bool optional) const;
  // Adds what the named devices need. NotFound for a name that has gone meanwhile.
  Status inject(const std::vector<std::string>& names, ContainerSpec& container, ProcessSpec& process) const;

 private:
  ContainerDevicesOptions options_;
};

}  // namespace kiln::sandbox
