// The words of a failed vertex, as clients read them.
//
//   vertex.error = error_text(status);
//
// A vertex has failed when its error is not empty, so a failure has words even where its status has none.
// Clients tell a cancelled vertex from a failed one by the end of its error, "context canceled", and do not
// print it among the failures.
#pragma once

#include <string>

#include "base/status.h"

namespace kiln::event {

// Takes how the vertex ended; gives what belongs into `Vertex::error`, empty for success. Any thread.
std::string error_text(const Status& status);

}  // namespace kiln::event
