// Several pieces of work at once on the pool, waited for together.
#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "base/pool.h"
#include "base/status.h"

namespace kiln::store {

// Runs the jobs, `at_once` together at most (one of them on the calling thread), and waits for all.
// The first error stops the others and is given. A job's stop token also ends when `stop` does. A null
// pool runs them one after the other.
Status run_together(Pool* pool, std::vector<std::function<Status(std::stop_token)>> jobs, std::stop_token stop,
                    std::size_t at_once = 8);

}  // namespace kiln::store
