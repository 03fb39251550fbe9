// A Bridge without a daemon: the Dockerfile frontend runs inside this program, over files of this
// machine. Enough to check a Dockerfile and to plan a build; nothing can be run or fetched.
//
//   LocalBridge bridge({.opts = opts, .dirs = {{"context", "."}, {"dockerfile", "."}}});
//   KILN_ASSIGN_OR_RETURN(auto plan, frontend::dockerfile::plan_build(bridge, stop));
//
// Base images are looked up only where that is asked for (`look_up`): else each is answered with an empty
// configuration for the platform wanted. FailedPrecondition for whatever needs a daemon (contexts that are addresses).
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "frontend/bridge.h"

namespace kiln::client {

struct LocalBridgeOptions {
  std::map<std::string, std::string> opts;  // of the frontend
  std::map<std::string, std::string> dirs;  // local name → directory
  std::optional<std::string> build_file;    // text that stands for the build file, instead of a file
  // Asks for a base image's configuration; null: each is answered with an empty one.
  std::function<Result<frontend::ImageConfig>(const std::string& ref, const Platform& platform, std::stop_token stop)>
      look_up;
};

// Any thread.
class LocalBridge final : public frontend::Bridge {
 public:
  explicit LocalBridge(LocalBridgeOptions options);

  const frontend::BuildOptions& options() const override { return build_options_; }
  Result<std::map<std::string, graph::Definition>> inputs(std::stop_token stop) override;
  // Only definitions that are one local directory; their tree is read where it lies.
  Result<frontend::SolveResult> solve(const frontend::SolveRequest& request, std::stop_token stop) override;
  Result<frontend::ImageConfig> resolve_image_config(const std::string& ref, const frontend::ResolveOptions& options,
                                                     std::stop_token stop) override;
  Result<frontend::SourceMeta> resolve_source(const graph::SourceOp& source, const std::optional<Platform>& platform,
                                              const frontend::ResolveOptions& options, std::stop_token stop) override;
  Status warn(const frontend::Warning& warning) override;

  // Images that were asked for and answered as empty.
  std::set<std::string> images() const;

 private:
  LocalBridgeOptions given_;
  frontend::BuildOptions build_options_;
  mutable std::mutex mutex_;
  std::set<std::string> images_;
};

}  // namespace kiln::client
