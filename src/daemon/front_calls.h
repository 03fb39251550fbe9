// Control.Solve and Control.Status on streams of our own HTTP/2, so that a build whose steps are all found
// in the cache need not wait for the threads of gRPC's library.
//
//   FrontCalls calls(ground);
//   … if (!calls.take(stream, fields)) pass_it_on(stream);
//   calls.wait_idle(patience);   // before connections are closed
#pragma once

#include <memory>

#include "base/clock.h"
#include "daemon/services.h"
#include "http2/stream.h"

namespace kiln::daemon {

// Any thread. What `ground` names outlives it.
class FrontCalls {
 public:
  explicit FrontCalls(const ServiceGround& ground);
  ~FrontCalls();
  FrontCalls(const FrontCalls&) = delete;
  FrontCalls& operator=(const FrontCalls&) = delete;

  // Serves the call; false for any other method, and for calls that ask for more than a message as it is
  // (packed messages, a deadline of the server's).
  bool take(const std::shared_ptr<http2::Stream>& stream, const http2::Fields& fields);
  // Waits until none is under way, at most for that long.
  void wait_idle(Duration patience);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace kiln::daemon
