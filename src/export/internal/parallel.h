// Several pieces of work at once, one answer.
#pragma once

#include <functional>
#include <vector>

#include "base/pool.h"
#include "base/status.h"

namespace kiln::exporter::internal {

// Runs all on the pool (one of them on the calling thread) and waits for all; gives the first error
// by position. A null pool: one after the other.
Status run_parallel(Pool* pool, std::vector<std::function<Status()>> jobs);

}  // namespace kiln::exporter::internal
