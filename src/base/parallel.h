// Several pieces of blocking work at once, one answer.
//
//   KILN_RETURN_IF_ERROR(run_parallel(pool, std::move(uploads), 4));
#pragma once

#include <functional>
#include <vector>

#include "base/pool.h"
#include "base/status.h"

namespace kiln {

// Runs all on the pool (some of them on the calling thread), `at_once` at a time (0: all), and waits for
// all that began; gives the first error by position. After an error no further job begins. A null pool:
// one after the other. Jobs are cancelled by what they themselves heed.
Status run_parallel(Pool* pool, std::vector<std::function<Status()>> jobs, std::size_t at_once = 0);

}  // namespace kiln
