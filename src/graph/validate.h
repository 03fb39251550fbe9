// What makes an op well-formed, apart from whether its inputs exist.
#pragma once

#include "base/status.h"
#include "graph/op.h"

namespace kiln::graph {

// InvalidArgument with the reason: no args, no mounts, no root mount, an input index the op does not
// have, a file action without action, an output index that is negative or absurd, and so on. The
// sink passes when it has exactly one input.
Status validate(const Op& op);

}  // namespace kiln::graph
