// RUN --mount: what a command is given beside its root.
#pragma once

#include "base/status.h"
#include "frontend/dockerfile/lower/steps.h"
#include "graph/build/exec.h"

namespace kiln::frontend::dockerfile {

// Adds the mounts, secrets and sockets of the instruction to `spec`, and notes what is used of the
// trees they come from. InvalidArgument for a target that is the root and for stages that come later.
Status add_run_mounts(StepContext& at, const Run& run, graph::build::RunSpec& spec);

}  // namespace kiln::frontend::dockerfile
