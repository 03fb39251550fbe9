// TLS for a connection that knows none: what is written to the inner socket goes encrypted through the
// outer one, by a thread of its own. Private to the room.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "client/rpc.h"
#include "host/fd.h"
#include "http2/stream.h"

namespace kiln::client {

struct Patience;

// Ends both ways when destroyed.
class TlsPipe {
 public:
  // Shakes hands on a connected, non-blocking socket: protocol "h2", the server's name checked. Unavailable
  // (fault: environment) with TLS's own words when that fails; user's fault for files that do not fit.
  static Result<std::unique_ptr<TlsPipe>> open(host::Fd socket, const std::string& place, const ConnectOptions& options,
                                               const Patience& patience);
  ~TlsPipe();
  // Non-blocking. Once.
  host::Fd take_inner() { return std::move(inner_); }

 private:
  struct State;
  explicit TlsPipe(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  host::Fd inner_;
  std::jthread thread_;
};

}  // namespace kiln::client
