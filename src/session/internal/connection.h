// What a Session is made of: the connection to the client.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "host/poller.h"
#include "http2/connection.h"
#include "session/session.h"

namespace kiln::session {

// Any thread.
struct Session::Connection {
  std::shared_ptr<http2::Connection> calls;
  std::shared_ptr<host::Poller> poller;

  std::mutex mutex;
  bool closed = false;
  std::vector<std::function<void()>> close_callbacks;
};

}  // namespace kiln::session
