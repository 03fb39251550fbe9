// For this room's tests: a daemon that has nothing but sessions, and clients that attach to it through
// a real socket and a real Control.Session call.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/fs.h"
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

class Daemon {
 public:
  Daemon() : dir_(*host::TempDir::make("session")), address_("unix:" + dir_.path() + "/s.sock"), control_(sessions) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&control_);
    server_ = builder.BuildAndStart();
  }
  ~Daemon() { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1)); }
  std::unique_ptr<ClientSession> connect(Offers offers) {
    auto channel = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
    auto session = ClientSession::open(channel, "test", "shared", std::move(offers));
    EXPECT_TRUE(session.ok());
    return *std::move(session);
  }
  const std::string& address() const { return address_; }
  SessionGroup group(const ClientSession& session) {
    return SessionGroup(sessions, [id = session.id()] { return std::vector<std::string>{id}; });
  }
  Sessions sessions;

 private:
  host::TempDir dir_;
  std::string address_;
  ControlOfSessions control_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace kiln::session
