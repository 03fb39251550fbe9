// A build as its frontend sees it from outside: the LLBBridge calls over one frontend::Bridge, with
// the refs that the frontend was given by id. Served over the daemon's socket to clients that run
// the frontend themselves, and over a pipe to frontends in containers; the runner makes one, serves
// it and waits for what the frontend returns.
//
//   auto gateway = std::make_shared<Gateway>(bridge, containers);
//   build.serve(gateway);
//   Result<frontend::SolveResult> result = gateway->wait(stop);
//   build.serve(nullptr); gateway->close();
//
// The requests arrive decoded by daemon/bridge_service.cc; this header speaks our own types.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "frontend/bridge.h"

namespace kiln::daemon {

class GatewayContainers;  // daemon/gateway_containers.h: NewContainer and ExecProcess

// Any thread. The bridge must outlive close().
class Gateway {
 public:
  // `containers` may be null: NewContainer is then Unimplemented.
  explicit Gateway(frontend::Bridge& bridge, std::shared_ptr<GatewayContainers> containers = nullptr);
  ~Gateway();

  frontend::Bridge& bridge() { return bridge_; }
  const std::shared_ptr<GatewayContainers>& containers() { return containers_; }

  // Gives the ref an id under which the frontend may name it; "" for a null ref.
  std::string add_ref(frontend::RefPtr ref);
  // Null for ""; NotFound for an unknown id.
  Result<frontend::RefPtr> ref(const std::string& id);

  // What the frontend returned; the first call wins, later ones fail with FailedPrecondition.
  Status finish(Result<frontend::SolveResult> result);
  // Blocks until finish(), close() or stop.
  Result<frontend::SolveResult> wait(std::stop_token stop);
  // Whether finish() was called.
  bool finished() const;

  // No call may touch the bridge after this returns: waits for calls under way (they are stopped),
  // drops all refs. Idempotent.
  void close();
  // Guards one call; false when the gateway is closed.
  bool enter();
  void leave();
  // Stopped by close(); combined by callers with the stop of their own call.
  std::stop_token stop_token() const { return stop_.get_token(); }

 private:
  frontend::Bridge& bridge_;
  std::shared_ptr<GatewayContainers> containers_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, frontend::RefPtr> refs_;
  std::optional<Result<frontend::SolveResult>> result_;
  std::stop_source stop_;
  int calls_ = 0;
  bool closed_ = false;
};

}  // namespace kiln::daemon
