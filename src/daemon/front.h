// Where clients' connections without TLS arrive: their HTTP/2 is taken apart here. Sessions, through which
// whole build contexts pass in small messages, and the two calls of every build are served at once; every
// other call is passed on to gRPC's library, on a connection of its own inside the process that the first
// such call opens. (Connections with TLS go to gRPC as they are.)
//
//   Front front(ground, [&](host::Fd socket) { acceptor->HandleNewConnection(…); });
//   front.take(std::move(socket));
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "daemon/front_calls.h"
#include "daemon/services.h"
#include "host/fd.h"
#include "host/poller.h"
#include "http2/connection.h"
#include "session/session.h"

namespace kiln::daemon {

// Any thread. One thread of its own for all connections.
class Front {
 public:
  // `backend` gives one end of a connection to the server behind; called from the front's thread.
  using Backend = std::function<void(host::Fd socket)>;
  // What `ground` names outlives it.
  Front(const ServiceGround& ground, Backend backend);
  // Ends all connections.
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // A connected, non-blocking socket.
  void take(host::Fd socket);
  // Ends all connections and takes no more, when the calls of builds have ended or `patience` has.
  void close(Duration patience = Duration::zero());

 private:
  class Guest;
  session::Sessions& sessions_;
  const std::shared_ptr<FrontCalls> calls_;
  const std::shared_ptr<const Backend> backend_;
  const std::shared_ptr<host::Poller> poller_ = std::make_shared<host::Poller>();
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<std::weak_ptr<http2::Connection>> connections_;
};

}  // namespace kiln::daemon
