// The client's end of the direct way: a socket of this machine on which the daemon may ask for files
// instead of through the session's tunnel.
//
// Offered by the session header "x-kiln-direct: <name>:<secret>". The name is one of the abstract Unix
// sockets (so it is gone with the process, and unreachable from another machine or network namespace:
// then the tunnel is used); as everybody on the machine may see the name, who connects says the secret
// first, which only the daemon was told. Files are opened by the client's own process and handed over
// open: the daemon never reads what the client's user could not.
//
// The first message of a connection is the secret, the second one the method and then names and values
// of headers, each ended by a NUL byte. Then come the call's messages (direct_pipe.h).
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "session/internal/direct_pipe.h"

namespace kiln::session::internal {

inline constexpr const char* kDirectHeader = "x-kiln-direct";
inline constexpr std::string_view kDirectPrefix = "kiln-direct-";
inline constexpr char kDirectSeparator = ':';

// Any thread. The destructor ends all calls and waits for their handlers.
class DirectDoor {
 public:
  using Headers = std::multimap<std::string, std::string>;
  // Answers one call, in a thread of its own; its status ends the call.
  using Handler = std::function<Status(const std::string& method, const Headers& headers, DirectPipe& pipe)>;
  // Null when this machine has no such sockets.
  static std::unique_ptr<DirectDoor> open(Handler handler);
  ~DirectDoor();
  DirectDoor(const DirectDoor&) = delete;
  DirectDoor& operator=(const DirectDoor&) = delete;

  // "<name>:<secret>".
  std::string address() const { return name_ + kDirectSeparator + secret_; }

 private:
  // Connected, and has not said the secret yet.
  struct Stranger {
    enum class Is { kWaiting, kKnown, kNobody };
    host::Fd socket;
    std::chrono::steady_clock::time_point until;
    std::string said;
  };
  struct Guest {
    std::unique_ptr<DirectPipe> pipe;
    bool done = false;
    std::jthread thread;
  };
  DirectDoor(host::Fd socket, std::string name, std::string secret, Handler handler);
  void receive();
  bool accept_one(std::list<Stranger>& strangers);
  Stranger::Is listen_to(Stranger& stranger) const;
  bool settle(Stranger& stranger);
  void invite(host::Fd socket);
  void serve(Guest& guest);

  host::Fd socket_;
  const std::string name_, secret_;
  const Handler handler_;
  std::mutex mutex_;
  bool closing_ = false;
  std::list<Guest> guests_;
  std::jthread thread_;
};

}  // namespace kiln::session::internal
