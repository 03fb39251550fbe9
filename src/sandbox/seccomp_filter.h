// The default profile as a BPF program for seccomp(2): a search tree over call numbers, so that a
// system call costs a handful of instructions. Compiled once per capability set and kept; the child
// only installs it.
//
//   std::shared_ptr<const SeccompFilter> filter = seccomp_filter(default_capabilities());
//   sock_fprog program{filter->code.size() …};
#pragma once

#include <linux/filter.h>

#include <memory>
#include <vector>

#include "base/status.h"
#include "sandbox/capability.h"

namespace kiln::sandbox {

struct SeccompFilter {
  std::vector<sock_filter> code;
};

// EPERM for calls the profile does not name, ENOSYS for calls newer than the profile and for
// foreign call tables. Covers the native architecture and its 32-bit sibling.
SeccompFilter compile_seccomp(CapabilitySet capabilities);

}  // namespace kiln::sandbox
