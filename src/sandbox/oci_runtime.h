// Steps through a runc-compatible program (runc, crun, runsc, …): a bundle a step, `run` in the
// foreground, `exec`, `kill` and `delete`. Stands in where the native runner does not work, and where
// a user names a program.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "sandbox/runtime.h"

namespace kiln::sandbox {

// `program` is a path or a name in PATH; NotFound when it is neither. What it lacks shows with the
// first run.
Result<std::unique_ptr<Runtime>> open_oci_runtime(RuntimeOptions options, const std::string& program);

}  // namespace kiln::sandbox
