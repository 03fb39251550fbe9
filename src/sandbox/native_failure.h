// What to say when a native step never became its program.
#pragma once

#include "base/status.h"
#include "sandbox/child.h"
#include "sandbox/runtime.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

class NativeMounts;

// A program that cannot be started counts as a step that failed: its reason goes to standard error
// and the exit code is 1, as with OCI runtimes. Everything else is an error of the environment.
// `mounts` may be null.
Result<ExitStatus> failed_start(const ChildFailure& failure, const ProcessSpec& process, const NativeMounts* mounts,
                                ProcessIo& io);

}  // namespace kiln::sandbox
