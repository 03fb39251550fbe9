// The daemon's ears: listeners and the gRPC server behind them.
//
//   KILN_ASSIGN_OR_RETURN(auto server, Server::start(config, ground));
//   … server->drain(); server->stop(std::chrono::seconds(5));
//
// Addresses: unix:///path (owner and mode 0660 as configured), tcp://host:port (TLS with client
// certificates when configured), fd://, fd://NUMBER or fd://NAME (sockets handed over by systemd),
// any number of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "daemon/config.h"
#include "daemon/services.h"

namespace kiln::daemon {

// Owned by main. The ground outlives it.
class Server {
 public:
  // InvalidArgument for addresses that are none, errno statuses for those that cannot be had.
  static Result<std::unique_ptr<Server>> start(const Config& config, const ServiceGround& ground);
  ~Server();

  // What is listened on, for the log.
  const std::vector<std::string>& addresses() const;
  // When the last connection was taken; for leaving when idle.
  Time last_connection() const;
  // Takes no new connections and ends calls that only end with their client.
  void drain();
  // Waits for calls under way at most `patience`, then cancels them.
  void stop(Duration patience);

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Tells systemd ("READY=1", "STOPPING=1"), when it wants to be told.
void notify_service_manager(const std::string& state);

}  // namespace kiln::daemon
