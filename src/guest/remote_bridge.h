// The Bridge of a frontend that runs elsewhere than the daemon: each call is an RPC.
//
//   RemoteBridge bridge(channel, std::move(options));
//   KILN_RETURN_IF_ERROR(bridge.greet());
//   KILN_RETURN_IF_ERROR(bridge.give_back(frontend.build(bridge, {})));
#pragma once

#include <memory>

#include "frontend/bridge.h"

namespace grpc {
class Channel;
}

namespace kiln::guest {

// Any thread, several calls at once. Errors of the daemon keep its typed details.
class RemoteBridge final : public frontend::Bridge {
 public:
  // `options` hold what the environment says; caps and workers come from the daemon.
  RemoteBridge(std::shared_ptr<grpc::Channel> channel, frontend::BuildOptions options);
  ~RemoteBridge() override;

  // Asks what the daemon can do; first of all calls. Unavailable when it does not answer.
  Status greet();
  // The frontend's last word: its result or its error.
  Status give_back(const Result<frontend::SolveResult>& answer);

  const frontend::BuildOptions& options() const override { return options_; }
  Result<std::map<std::string, graph::Definition>> inputs(std::stop_token stop) override;
  Result<frontend::SolveResult> solve(const frontend::SolveRequest& request, std::stop_token stop) override;
  Result<frontend::ImageConfig> resolve_image_config(const std::string& ref, const frontend::ResolveOptions& options,
                                                     std::stop_token stop) override;
  Result<frontend::SourceMeta> resolve_source(const graph::SourceOp& source, const std::optional<Platform>& platform,
                                              const frontend::ResolveOptions& options, std::stop_token stop) override;
  Status warn(const frontend::Warning& warning) override;

 private:
  struct Link;
  std::shared_ptr<Link> link_;
  frontend::BuildOptions options_;
};

}  // namespace kiln::guest
