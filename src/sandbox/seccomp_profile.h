// The default system call filter of sandboxed steps, as data: which calls are allowed, under which
// argument conditions and with which capabilities. Everything not named fails with EPERM, calls newer
// than the list with ENOSYS, so that C libraries fall back. The native runner compiles it
// (seccomp_filter.h), the OCI runtimes get it as JSON (oci_spec.h).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sandbox/capability.h"

namespace kiln::sandbox {

enum class SeccompCompare { kLess, kEqual, kGreater, kMaskedEqual };

// One condition on one argument.
struct SeccompArg {
  unsigned index = 0;
  std::uint64_t value = 0;   // kMaskedEqual: the mask
  std::uint64_t masked = 0;  // kMaskedEqual: what must remain
  SeccompCompare compare = SeccompCompare::kEqual;
};

struct SeccompRule {
  std::vector<std::string_view> names;
  int errno_value = 0;           // 0: allow; else refuse with this errno
  std::vector<SeccompArg> args;  // all must hold; none: always
};

// The rules for this machine's architecture and a step with these capabilities.
std::vector<SeccompRule> seccomp_rules(CapabilitySet capabilities);

}  // namespace kiln::sandbox
