// The socket on which steps hand over their traces: it serves the trace collector alone, for it is
// shown to every step of a build that is traced. Opened when the first such step comes.
//
//   TraceListener listener("/run/buildkit/otel-grpc.sock", take_service);
//   std::string path = listener.path();   // "" when it cannot be had
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace kiln::daemon {

// Any thread. Ends with its owner.
class TraceListener {
 public:
  using MakeService = std::function<std::unique_ptr<grpc::Service>()>;
  TraceListener(std::string path, MakeService make_service);
  ~TraceListener();
  // Opens the socket when this is the first call; a failure is logged once.
  std::string path();
  // Ends calls under way and takes the socket away. The last call.
  void close();

 private:
  bool open();

  const std::string path_;
  const MakeService make_service_;
  std::once_flag once_;
  bool open_ = false;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace kiln::daemon
