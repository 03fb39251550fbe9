// What frontends of foreign make send to the gateway, and the errors that clients and frontends hand on: messages
// decoded into our own types, by the first byte's choice.
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/status.h>

#include "base/check.h"
#include "daemon/bridge_messages.h"
#include "daemon/gateway.h"
#include "daemon/status_wire.h"
#include "frontend/bridge.h"
#include "wire/gateway.pb.h"
#include "wire/rpc_status.pb.h"

namespace {

using namespace kiln;
namespace api = moby::buildkit::v1::frontend;

// Nothing is solved here: only what stands before the bridge is looked at.
class NoBridge final : public frontend::Bridge {
 public:
  const frontend::BuildOptions& options() const override { return options_; }
  Result<std::map<std::string, graph::Definition>> inputs(std::stop_token) override { return none(); }
  Result<frontend::SolveResult> solve(const frontend::SolveRequest&, std::stop_token) override { return none(); }
  Result<frontend::ImageConfig> resolve_image_config(const std::string&, const frontend::ResolveOptions&,
                                                     std::stop_token) override {
    return none();
  }
  Result<frontend::SourceMeta> resolve_source(const graph::SourceOp&, const std::optional<Platform>&,
                                              const frontend::ResolveOptions&, std::stop_token) override {
    return none();
  }
  Status warn(const frontend::Warning&) override { return none(); }

 private:
  static Status none() { return user_error(Code::kUnimplemented, "no bridge"); }
  frontend::BuildOptions options_;
};

template <typename Message, typename Use>
void with(std::string_view bytes, Use use) {
  Message message;
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) use(message);
}

void take_result(const api::Result& message) {
  NoBridge bridge;
  kiln::daemon::Gateway gateway(bridge);
  auto result = kiln::daemon::from_message(message, gateway);
  if (!result.ok()) return;
  api::Result back;
  (void)kiln::daemon::to_message(*result, true, gateway, back);
}

// An error keeps its code and message on the way through us.
void pass_error(const google::rpc::Status& message) {
  const Status status = kiln::daemon::from_proto(message);
  if (status.ok()) return;
  google::rpc::Status back;
  kiln::daemon::to_proto(status, back);
  KILN_CHECK(kiln::daemon::from_proto(back).code() == status.code());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // protobuf prints a line for each string that is no UTF-8.
  static const bool quiet = (google::protobuf::SetLogHandler(nullptr), true);
  (void)quiet;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: with<api::SolveRequest>(bytes, [](const auto& m) { (void)kiln::daemon::from_message(m); }); break;
    case 1: with<api::Result>(bytes, take_result); break;
    case 2:
      with<api::ResolveImageConfigRequest>(bytes, [](const auto& m) { (void)kiln::daemon::from_message(m); });
      break;
    case 3:
      with<api::ResolveSourceMetaRequest>(bytes, [](const auto& m) { (void)kiln::daemon::from_message(m); });
      break;
    case 4: with<api::WarnRequest>(bytes, [](const auto& m) { (void)kiln::daemon::from_message(m); }); break;
    default: with<google::rpc::Status>(bytes, pass_error); break;
  }
  return 0;
}
