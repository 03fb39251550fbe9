// A gRPC channel over two pipes. gRPC wants one socket that does not block, so bytes are carried
// between the pipes and one end of a pair of sockets; gRPC has the other.
//
//   KILN_ASSIGN_OR_RETURN(auto pipes, StdioChannel::open(STDIN_FILENO, STDOUT_FILENO));
//   auto bridge = LLBBridge::NewStub(pipes->channel());
#pragma once

#include <memory>
#include <thread>

#include "base/status.h"
#include "host/fd.h"

namespace grpc {
class Channel;
}

namespace kiln::guest {

// Owns the carrying threads, not the pipes. The threads end with the pipes or with the object; one
// that waits for a pipe to be readable is left behind then, so the program should end soon after.
class StdioChannel {
 public:
  static Result<std::unique_ptr<StdioChannel>> open(int in, int out);
  ~StdioChannel();
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }

 private:
  StdioChannel() = default;
  std::shared_ptr<host::Fd> ours_;
  std::shared_ptr<grpc::Channel> channel_;
  std::thread sending_;
};

}  // namespace kiln::guest
