// For this room's tests: a daemon that has nothing but sessions, and clients that attach to it through
// a real socket and a real Control.Session call.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "host/fs.h"
#include "http2/socket_carrier.h"
#include "session/client_session.h"
#include "session/session.h"
#include "session/tunnel.h"
#include "wire/control.grpc.pb.h"

namespace kiln::session {

class ControlOfSessions final
    : public moby::buildkit::v1::Control::WithRawCallbackMethod_Session<moby::buildkit::v1::Control::Service> {
 public:
  explicit ControlOfSessions(Sessions& sessions) : sessions_(sessions) {}
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Session(grpc::CallbackServerContext* context) override {
    return serve_session(sessions_, context);
  }

 private:
  Sessions& sessions_;
};

// Who hears the client: gRPC's library or our own HTTP/2.
enum class Ears { kGrpc, kOwn };

class Daemon {
 public:
  explicit Daemon(Ears ears = Ears::kGrpc)
      : dir_(*host::TempDir::make("session")), address_("unix:" + dir_.path() + "/s.sock"), control_(sessions) {
    if (ears == Ears::kOwn) {
      listen_alone();
      return;
    }
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&control_);
    server_ = builder.BuildAndStart();
  }
  ~Daemon() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    if (socket_.valid()) ::shutdown(socket_.get(), SHUT_RDWR);
    if (accepting_.joinable()) accepting_.join();
    for (auto& connection : connections_) connection->end(ok());
    for (auto& connection : guests_) connection->end(ok());
  }
  std::unique_ptr<ClientSession> connect(Offers offers) {
    host::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un name = own_name();
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    connections_.push_back(http2::Connection::client());
    EXPECT_TRUE(http2::SocketCarrier::start(poller_, std::move(socket), connections_.back()).ok());
    auto session = ClientSession::open(connections_.back(), "test", "shared", std::move(offers));
    EXPECT_TRUE(session.ok());
    return *std::move(session);
  }
  const std::string& address() const { return address_; }
  SessionGroup group(const ClientSession& session) {
    return SessionGroup(sessions, [id = session.id()] { return std::vector<std::string>{id}; });
  }
  Sessions sessions;

 private:
  void listen_alone() {
    socket_ = host::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un name = own_name();
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    ASSERT_EQ(::listen(socket_.get(), 16), 0);
    accepting_ = std::jthread([this] {
      while (true) {
        host::Fd guest(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!guest.valid()) return;
        guests_.push_back(http2::Connection::server(
            [this](std::shared_ptr<http2::Stream> stream) { serve_session(sessions, std::move(stream)); }));
        EXPECT_TRUE(http2::SocketCarrier::start(poller_, std::move(guest), guests_.back()).ok());
      }
    });
  }

  sockaddr_un own_name() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    address_.copy(name.sun_path, sizeof name.sun_path - 1, 5);
    return name;
  }

  host::TempDir dir_;
  std::string address_;
  ControlOfSessions control_;
  std::unique_ptr<grpc::Server> server_;
  host::Fd socket_;
  std::shared_ptr<host::Poller> poller_ = std::make_shared<host::Poller>();
  std::vector<std::shared_ptr<http2::Connection>> connections_;  // clients'
  std::vector<std::shared_ptr<http2::Connection>> guests_;       // of the accepting thread
  std::jthread accepting_;
};

}  // namespace kiln::session
