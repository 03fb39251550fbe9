// A build as its frontend may use it: frontend::Bridge over the solver, the sources and the other
// frontends. One a frontend call; nested frontends get bridges of their own over the same build.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "daemon/build_ref.h"
#include "daemon/builds.h"
#include "daemon/entitlements.h"
#include "daemon/failed_trees.h"
#include "daemon/source_rules.h"
#include "frontend/bridge.h"
#include "op/op_factory.h"
#include "source/meta.h"

namespace kiln::daemon {

// What one build shares with all its bridges. Owned by the build; outlives them.
struct BridgeContext {
  RunningBuild* build = nullptr;
  std::shared_ptr<const RefContext> refs;
  op::OpPorts ports;
  std::shared_ptr<FailedTrees> failed = std::make_shared<FailedTrees>();
  session::Sessions* sessions = nullptr;
  source::MetaResolver* meta = nullptr;
  std::map<std::string, std::shared_ptr<const frontend::Frontend>> frontends;  // by name
  std::vector<frontend::WorkerInfo> workers;
  Entitlements entitlements;  // granted to this build
  std::string product = "buildkit";
  // Adds a cache to look into; called once for each different import. May be null.
  std::function<void(const frontend::CacheImport&)> import_cache;
  // Decides about sources; may be null.
  std::shared_ptr<SourceRules> rules;
};

// Loads a graph as the build is allowed to run it; PermissionDenied names what is missing. Blocks on
// the client when it verifies sources itself.
Result<std::shared_ptr<const graph::Graph>> load_graph(const BridgeContext& context,
                                                       const graph::Definition& definition, std::stop_token stop = {});
// Lets the build's rules decide about a source, which may change.
Result<bool> check_source(const BridgeContext& context, graph::Op& op, std::stop_token stop);

// Any thread.
class BuildBridge final : public frontend::Bridge {
 public:
  // `scope`: the call that this bridge is given to, or the build itself.
  BuildBridge(std::shared_ptr<BridgeContext> context, std::map<std::string, std::string> opts,
              std::map<std::string, graph::Definition> inputs, std::shared_ptr<RequestScope> scope);

  const std::shared_ptr<BridgeContext>& context() const { return context_; }
  const frontend::BuildOptions& options() const override { return options_; }
  Result<std::map<std::string, graph::Definition>> inputs(std::stop_token) override { return inputs_; }
  Result<frontend::SolveResult> solve(const frontend::SolveRequest& request, std::stop_token stop) override;
  Result<frontend::ImageConfig> resolve_image_config(const std::string& ref, const frontend::ResolveOptions& options,
                                                     std::stop_token stop) override;
  Result<frontend::SourceMeta> resolve_source(const graph::SourceOp& source, const std::optional<Platform>& platform,
                                              const frontend::ResolveOptions& options, std::stop_token stop) override;
  Status warn(const frontend::Warning& warning) override;

 private:
  Result<frontend::SolveResult> solve_definition(const graph::Definition& definition, std::stop_token stop);
  Status add_rules(const std::vector<std::string>& policies);
  Result<frontend::SolveResult> solve_frontend(const frontend::SolveRequest& request, std::stop_token stop);
  source::Asker asker(event::Reporter& reporter, std::stop_token stop) const;

  std::shared_ptr<BridgeContext> context_;
  frontend::BuildOptions options_;
  std::map<std::string, graph::Definition> inputs_;
  std::shared_ptr<RequestScope> scope_;
};

}  // namespace kiln::daemon
