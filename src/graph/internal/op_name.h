// What progress calls an op.
#pragma once

#include <string>

#include "graph/vertex.h"

namespace kiln::graph::internal {

// The custom name of the metadata, else one made from the op. `vertex` has inputs and metadata.
std::string op_name(const Op& op, const Vertex& vertex);

}  // namespace kiln::graph::internal
