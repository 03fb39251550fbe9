// Running programs of a foreign architecture where the kernel has no interpreter registered for them:
// a static qemu is mounted into the step and put in front of its arguments.
#pragma once

#include <optional>
#include <string>

#include "base/platform.h"
#include "base/status.h"

namespace kiln::sandbox {
class Architectures;
}

namespace kiln::op {

inline constexpr const char* kEmulatorTarget = "/dev/.buildkit_qemu_emulator";

// The host path of the emulator that a step of this platform needs ("buildkit-qemu-aarch64" in PATH);
// nothing when the machine runs it by itself, or when there is no emulator: then the step fails with
// the kernel's own words. FailedPrecondition for a level of the machine's own architecture that its
// processor does not have. Null architectures: nothing is emulated.
Result<std::optional<std::string>> emulator_for(const std::optional<Platform>& platform,
                                                const sandbox::Architectures* architectures);

}  // namespace kiln::op
