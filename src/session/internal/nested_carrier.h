// The session's tunnel on a stream of our own HTTP/2 (http2/), where gRPC's library is not in between: a
// call of messages of bytes, which carry another HTTP/2 connection.
#pragma once

#include <functional>
#include <memory>

#include "http2/served_call.h"

namespace kiln::session::internal {

// Starts the connection on the call and keeps both until one has ended; `done` hears of it. Costs no
// thread. Not blocking.
void carry_nested(std::shared_ptr<http2::ServedCall> call, std::shared_ptr<http2::Connection> connection,
                  std::function<void()> done);

}  // namespace kiln::session::internal
