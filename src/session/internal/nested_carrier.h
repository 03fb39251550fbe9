// The session's tunnel on a stream of our own HTTP/2 (http2/), where gRPC's library is not in between: a
// call of messages of bytes, which carry another HTTP/2 connection.
#pragma once

#include <functional>
#include <memory>

#include "http2/call.h"

namespace kiln::session::internal {

// Starts the connection on a call's stream, on either end, and keeps both until one has ended. `finish` ends
// the call from here when the connection has ended; `done` hears that all is over. Costs no thread. Not
// blocking.
void carry_nested(std::shared_ptr<http2::Stream> stream, std::shared_ptr<http2::Connection> connection,
                  std::function<void()> finish, std::function<void()> done);

}  // namespace kiln::session::internal
