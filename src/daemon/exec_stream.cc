#include "daemon/calls.h"
#include "daemon/gateway_containers.h"
#include "wire/gateway.grpc.pb.h"

namespace kiln::daemon {
namespace {

using Message = moby::buildkit::v1::frontend::ExecMessage;

class Refusal final : public grpc::ServerBidiReactor<Message, Message> {
 public:
  Refusal() { Finish(to_grpc(user_error(Code::kUnimplemented, "this build offers no containers to its frontend"))); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerBidiReactor<Message, Message>* serve_exec(Pool&, grpc::CallbackServerContext*, FindGateway) {
  return new Refusal();
}

}  // namespace kiln::daemon
