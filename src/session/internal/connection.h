// What a Session is made of: the channel to the client and the means to end it.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "host/fd.h"
#include "session/internal/poller.h"
#include "session/session.h"

namespace kiln::session {

// Any thread.
struct Session::Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::shared_ptr<internal::Poller> poller;
  host::Fd socket;  // a duplicate of the channel's, to shut it

  std::mutex mutex;
  bool closed = false;
  std::vector<std::function<void()>> close_callbacks;
};

}  // namespace kiln::session
