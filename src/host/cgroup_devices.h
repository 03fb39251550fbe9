// Device rules on cgroup version 2, where the list is a BPF program on the group (bpf(2),
// BPF_PROG_TYPE_CGROUP_DEVICE) instead of the files of version 1.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "host/cgroup.h"

namespace kiln::host {

// Loads a program that speaks for `rules` (last match wins, no match denies) and attaches it to the
// group; it goes with the group. Errors: PermissionDenied without CAP_BPF or CAP_SYS_ADMIN.
Status attach_device_program(const std::string& folder, const std::vector<DeviceRule>& rules);

}  // namespace kiln::host
