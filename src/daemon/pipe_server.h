// A gateway served over the standard streams of a program: what the program writes is gRPC from its
// client, what it reads is gRPC from our server.
//
//   PipeServer server(pool, gateway);
//   ProcessIo io; server.connect(io, control);
//   runtime.run(…, io, stop);
//   server.close();
#pragma once

#include <memory>

#include "base/pool.h"
#include "base/status.h"
#include "daemon/gateway.h"
#include "sandbox/runtime.h"

namespace kiln::daemon {

// One program. The streams of a program are no sockets and its standard input is fed by us, so bytes
// are carried between them and one end of a socket pair; gRPC has the other.
class PipeServer {
 public:
  static Result<std::unique_ptr<PipeServer>> start(Pool& pool, std::shared_ptr<Gateway> gateway);
  ~PipeServer();

  // Sets on_stdout, and feeds the control's standard input. Once, before the program runs; both
  // outlive close().
  void connect(sandbox::ProcessIo& io, sandbox::ProcessControl& control);
  // Ends all calls and waits for them. Idempotent.
  void close();

 private:
  struct State;
  explicit PipeServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kiln::daemon
