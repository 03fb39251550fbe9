// The socket on which steps hand over their traces: it serves the trace collector alone, for it is
// shown to every step of a build that is traced. Opened when the first such step comes.
//
//   TraceListener listener("/run/buildkit/otel-grpc.sock", take_service);
//   std::string path = listener.path();   // "" when it cannot be had
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

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
  // Opens the socket when this is the first call, under another name when a daemon listens there already; a
  // failure is logged once. "" also when somebody removed the socket, or put another in its place: a step is not
  // worth failing for its trace, and its spans are nobody else's business.
  std::string path();
  // Ends calls under way and takes the socket away. The last call.
  void close();

 private:
  bool open();

  bool is_ours() const;

  std::string path_;
  const MakeService make_service_;
  std::once_flag once_;
  bool open_ = false;
  std::pair<std::uint64_t, std::uint64_t> identity_;  // device and number of the socket
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace kiln::daemon
