// Containers that a frontend asks for: to run programs while it makes its result, and to let a user
// look around in a step that failed. One object a gateway.
//
// NewContainer and ExecProcess of LLBBridge (moby/buildkit frontend/gateway/pb/gateway.proto).
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/pool.h"
#include "base/status.h"
#include "daemon/services.h"
#include "frontend/bridge.h"

namespace grpc {
template <class Request, class Response>
class ServerBidiReactor;
}
namespace moby::buildkit::v1::frontend {
class ExecMessage;
class InitMessage;
class NewContainerRequest;
}  // namespace moby::buildkit::v1::frontend

namespace kiln::daemon {

// Exit code of a program that did not come to run, as clients know it.
inline constexpr int kUnknownExit = 255;

// One program in a container. The reader is called from the program's pumps, one call at a time a
// descriptor.
class ContainerProcess {
 public:
  virtual ~ContainerProcess() = default;
  // Bytes for the program's descriptor (0: standard input); `end` closes it.
  virtual Status write(int descriptor, std::string_view bytes, bool end) = 0;
  virtual Status resize(int rows, int columns) = 0;
  virtual Status signal(const std::string& name) = 0;
};

struct ProcessEvents {
  // Descriptors that the client has; output of others is dropped.
  std::set<int> wanted;
  std::function<void()> started;
  std::function<void(int descriptor, std::string_view bytes)> output;
  // Exit code, and the error when the program could not run or did not end well; the last call.
  std::function<void(int code, const Status& status)> exited;
};

// Any thread.
class GatewayContainers {
 public:
  virtual ~GatewayContainers() = default;
  virtual Status create(const moby::buildkit::v1::frontend::NewContainerRequest& request, Gateway& gateway,
                        std::stop_token stop) = 0;
  virtual Status release(const std::string& id) = 0;
  // Starts a program; its events may begin before this returns. Ends when `stop` is stopped.
  virtual Result<std::shared_ptr<ContainerProcess>> start(const moby::buildkit::v1::frontend::InitMessage& request,
                                                          ProcessEvents events, std::stop_token stop) = 0;
  // Looks into mount `mount` of a container, in the order of its request.
  virtual Result<std::string> read_file(const std::string& id, int mount, const frontend::ReadRequest& request) = 0;
  virtual Result<std::vector<frontend::FileStat>> read_dir(const std::string& id, int mount, const std::string& path,
                                                           const std::string& include_pattern) = 0;
  virtual Result<frontend::FileStat> stat_file(const std::string& id, int mount, const std::string& path) = 0;
};

struct BridgeContext;  // daemon/build_bridge.h
class RunningBuild;

// The real ones, over op::Container. The context's build outlives the gateway that they belong to.
std::shared_ptr<GatewayContainers> make_gateway_containers(RunningBuild& build, std::shared_ptr<BridgeContext> context);

// One ExecProcess call. Owns itself.
grpc::ServerBidiReactor<moby::buildkit::v1::frontend::ExecMessage, moby::buildkit::v1::frontend::ExecMessage>*
serve_exec(Pool& pool, grpc::CallbackServerContext* context, FindGateway find);

}  // namespace kiln::daemon
