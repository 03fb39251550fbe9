// Reaching a daemon: sockets, TLS on them, programs that carry the bytes. Private to the room.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "client/internal/child.h"
#include "client/internal/tls_pipe.h"
#include "client/rpc.h"
#include "http2/connection.h"

namespace kiln::client {

struct Address {
  std::string scheme;
  std::string user;
  std::string host;  // with port
  std::string path;
  std::map<std::string, std::string> query;
};

// A connection under way and what it lives on.
struct Dialled {
  std::optional<Child> program;  // ends after the connection
  std::unique_ptr<TlsPipe> tls;
  std::shared_ptr<http2::Connection> wire;
};

struct Patience {
  http2::Ticks::time_point until;
  std::stop_token stop;
};

// To a unix or tcp address. One try; errors say why there is no daemon. Blocking, cancellable.
Result<Dialled> dial(const Address& address, const ConnectOptions& options, const Patience& patience);
// By a program whose standard input and output are the connection.
Result<Dialled> dial_program(const std::vector<std::string>& command);

// Waits until a socket is ready for these events of poll(2): DeadlineExceeded or Cancelled when it is not
// before.
Status await_socket(int socket, short events, const Patience& patience);

}  // namespace kiln::client
