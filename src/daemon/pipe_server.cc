#include "daemon/pipe_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <thread>

#include "daemon/services.h"
#include "host/fd.h"

namespace kiln::daemon {

struct PipeServer::State {
  std::unique_ptr<grpc::Service> bridge;
  std::unique_ptr<grpc::Service> health;
  std::unique_ptr<grpc::Server> server;
  host::Fd ours;         // blocking
  std::jthread feeding;  // from `ours` to the program's standard input
};

PipeServer::PipeServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
PipeServer::~PipeServer() { close(); }

Result<std::unique_ptr<PipeServer>> PipeServer::start(Pool& pool, std::shared_ptr<Gateway> gateway) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return errno_error(errno, "make a pair of sockets");
  auto state = std::make_unique<State>();
  state->ours = host::Fd(ends[0]);
  host::Fd theirs(ends[1]);
  ::fcntl(theirs.get(), F_SETFL, O_NONBLOCK);

  state->bridge = make_bridge_service(pool, [gateway](grpc::CallbackServerContext&, std::stop_token) {
    return Result<std::shared_ptr<Gateway>>(gateway);
  });
  state->health = make_health_service();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(16 * 1024 * 1024);
  builder.SetMaxSendMessageSize(16 * 1024 * 1024);
  builder.RegisterService(state->bridge.get());
  builder.RegisterService(state->health.get());
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) return engine_error("the frontend's server does not start");
  grpc::AddInsecureChannelFromFd(state->server.get(), theirs.release());
  return std::unique_ptr<PipeServer>(new PipeServer(std::move(state)));
}

void PipeServer::connect(sandbox::ProcessIo& io, sandbox::ProcessControl& control) {
  io.on_stdout = [fd = state_->ours.get()](std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return;  // the server is gone; so will be the program
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  };
  io.control = &control;
  state_->feeding = std::jthread([fd = state_->ours.get(), &control] {
    std::array<char, 64 * 1024> buffer;
    while (true) {
      const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0 || !control.write_stdin({buffer.data(), static_cast<std::size_t>(got)})) break;
    }
    control.close_stdin();
  });
}

void PipeServer::close() {
  if (state_->server != nullptr) {
    state_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
    state_->server->Wait();
    state_->server.reset();
  }
  if (state_->ours.valid()) ::shutdown(state_->ours.get(), SHUT_RDWR);
  if (state_->feeding.joinable()) state_->feeding.join();
  state_->ours.reset();
}

}  // namespace kiln::daemon
