// What a step that has to run tells about its key. A view: nothing here decides anything.
#pragma once

#include <vector>

#include "solve/internal/step.h"

namespace kiln::solve {

// Adds what the ops know of the key (outside the loop: it reads lists of files) and tells the builds.
// Ops whose key dies with the session are told nothing of: they always run.
void tell_miss(Step& step, const std::vector<OutputRef>& inputs, event::CacheMiss& miss, RunContext& context);

}  // namespace kiln::solve
