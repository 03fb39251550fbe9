// SOURCE_DATE_EPOCH: the time that a build pretends to happen at.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "frontend/dockerfile/lower/lowering.h"

namespace kiln::frontend::dockerfile {

// `value`: seconds since 1970; "context" (the time of the main context: git commit, HTTP
// Last-Modified, newest file of an archive; nothing for a directory); the name of a context; or a
// stage that is FROM scratch with one remote ADD. Empty: nothing. InvalidArgument otherwise.
Result<std::optional<Time>> resolve_epoch(Lowering& lowering, const std::string& value, std::stop_token stop);

}  // namespace kiln::frontend::dockerfile
