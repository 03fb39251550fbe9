// A socket that is listened on, and how its address was written.
//
//   KILN_ASSIGN_OR_RETURN(Listener l, open_listener("unix:///run/x.sock", {.uid = 0, .gid = 0}));
#pragma once

#include <string>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::daemon {

struct SocketOwner {
  int uid = 0;
  int gid = 0;
};

// The destructor removes the file of a unix socket that it made.
struct Listener {
  Listener() = default;
  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = default;
  ~Listener();

  host::Fd fd;           // non-blocking, listening
  std::string address;   // as written
  bool is_local = true;  // no TLS here
  std::string path;      // of the unix socket made; "" = none
};

// Whether a program listens on the unix socket of that path.
bool somebody_answers(const std::string& path);

// unix:///path, tcp://host:port, fd://[number or name]. A stale unix socket is replaced; one that
// somebody answers on is AlreadyExists.
Result<Listener> open_listener(const std::string& address, SocketOwner owner);

}  // namespace kiln::daemon
