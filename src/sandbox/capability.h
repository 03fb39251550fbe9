// Linux capabilities by name, and the sets a step gets. Bits are those of capability.h of the kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::sandbox {

using CapabilitySet = std::uint64_t;

// What every step of sandbox mode has, as containerd's default.
CapabilitySet default_capabilities();
// What this process itself has in its bounding set: all that an insecure step can be given.
CapabilitySet own_capabilities();
// "CAP_CHOWN" to its bit; nothing for a name the kernel's header does not know.
std::optional<int> capability_bit(std::string_view name);
// Names of the bits set, in the order of the bits; for the OCI runtimes' config.json.
std::vector<std::string> capability_names(CapabilitySet set);
bool has_capability(CapabilitySet set, std::string_view name);

}  // namespace kiln::sandbox
