// The gRPC services of the daemon, one function a service; the server registers what they give.
//
//   ServiceGround ground{.pool = &pool, .builds = &builds, …};
//   builder.RegisterService(control.get());
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/pool.h"
#include "content/blob_store.h"
#include "daemon/builds.h"
#include "daemon/engine.h"
#include "daemon/gateway.h"
#include "history/history.h"
#include "observe/span.h"
#include "session/session.h"

namespace grpc {
class CallbackServerContext;
class Service;
}  // namespace grpc

namespace kiln::daemon {

// What the services stand on; all outlive the server.
struct ServiceGround {
  Pool* pool = nullptr;
  Builds* builds = nullptr;
  history::History* history = nullptr;
  session::Sessions* sessions = nullptr;
  Engine* engine = nullptr;
  // Told after each build and at each call, for collection and idle exit; may be null.
  std::function<void()> after_build;
  // Spans that clients made; null: they are dropped.
  std::function<void(std::vector<observe::Span>)> take_spans;
};

// moby.buildkit.v1.Control. `end_listeners` of the result ends calls that would otherwise only end
// with their client (ListenBuildHistory), for draining.
class ControlServer {
 public:
  virtual ~ControlServer() = default;
  virtual grpc::Service& service() = 0;
  virtual void end_listeners() = 0;
};
std::unique_ptr<ControlServer> make_control_service(const ServiceGround& ground);

// moby.buildkit.v1.frontend.LLBBridge. `find` gives the gateway that a call is for; it may block.
using FindGateway = std::function<Result<std::shared_ptr<Gateway>>(grpc::CallbackServerContext&, std::stop_token)>;
std::unique_ptr<grpc::Service> make_bridge_service(Pool& pool, FindGateway find);
// By metadata "buildkit-controlapi-buildid" among the running builds.
FindGateway find_by_metadata(Builds& builds);

// containerd.services.content.v1.Content, reading only: the engine's blobs, then the history's.
std::unique_ptr<grpc::Service> make_content_service(Pool& pool, content::BlobStore& first, content::BlobStore& second);

// grpc.health.v1.Health: serving, from the first answer to the last.
std::unique_ptr<grpc::Service> make_health_service();

// opentelemetry.proto.collector.trace.v1.TraceService.
std::unique_ptr<grpc::Service> make_trace_service(const ServiceGround& ground);

}  // namespace kiln::daemon
