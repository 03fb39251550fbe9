// Several blocking questions at once.
#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "base/status.h"

namespace kiln::frontend {

// Runs the jobs on threads of their own (one job: on the caller's) and waits for all. The first
// error stops the others and is given back. Jobs must heed their stop token.
Status run_all(const std::vector<std::function<Status(std::stop_token)>>& jobs, std::stop_token stop);

}  // namespace kiln::frontend
