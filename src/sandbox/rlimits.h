// Ulimits of a client as resource limits of the kernel.
#pragma once

#include <vector>

#include "base/status.h"
#include "sandbox/child.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// -1 is unlimited. Without the right to raise hard limits they are lowered to our own, as a step is
// better off with less than not at all. User error for a name the kernel does not have.
Result<std::vector<ChildLimit>> child_limits(const std::vector<Ulimit>& ulimits);

}  // namespace kiln::sandbox
