// What a step may not see or touch, as data shared by the native runner and the OCI runtimes: hidden
// and read-only paths, device nodes and device rules, for both security modes.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "host/cgroup.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// Covered by nothing readable; a path that does not exist is skipped.
std::span<const std::string_view> masked_paths();
// Bound on themselves read-only; likewise.
std::span<const std::string_view> readonly_paths();
// The nodes every container has: null, zero, full, tty, random, urandom.
std::span<const Device> standard_devices();
// The nodes an insecure container has on top: kmsg, fuse, kvm, tun, loop devices, …
std::vector<Device> insecure_devices();
// All nodes of this container, in order.
std::vector<Device> devices_of(const ContainerSpec& container);
// The device list of the container's cgroup.
std::vector<host::DeviceRule> device_rules(const ContainerSpec& container);

}  // namespace kiln::sandbox
