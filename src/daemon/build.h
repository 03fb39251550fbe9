// The life of a build, from an accepted request to the answer: build.cc and docs/life-of-a-build.md
// are the same list, step by step.
//
//   BuildEngine engine(parts);                      // a BuildRunner for Builds
//
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "daemon/build_bridge.h"
#include "daemon/builds.h"
#include "export/exporter.h"
#include "history/history.h"
#include "remotecache/remote_cache.h"
#include "solve/solver.h"

namespace kiln::daemon {

class GatewayContainers;
class MachineUsage;

// What builds are made of; owned by the daemon, outlives the engine.
struct BuildParts {
  solve::Solver* solver = nullptr;
  op::OpPorts ops;
  exporter::ExportPorts exports;
  remotecache::Ports caches;
  session::Sessions* sessions = nullptr;
  source::MetaResolver* meta = nullptr;
  Pool* pool = nullptr;
  source::Pins* pins = nullptr;  // what sources resolved to, for provenance
  std::shared_ptr<Producers> producers = std::make_shared<Producers>();
  MachineUsage* machine = nullptr;      // null: nothing is told of what the machine used
  history::History* history = nullptr;  // where provenance is kept; may be null
  std::string provenance_environment;   // JSON object, see load_provenance_environment
  std::map<std::string, std::shared_ptr<const frontend::Frontend>> frontends;
  std::function<std::vector<frontend::WorkerInfo>()> workers;  // as they are now; required
  bool proxied = false;                                        // all builds' steps run behind the proxy network
  std::set<std::string> allowed_entitlements;                  // what the configuration lets builds ask for
  // Containers for frontends at the client; may give null.
  std::function<std::shared_ptr<GatewayContainers>(RunningBuild&, std::shared_ptr<BridgeContext>)> make_containers;
};

// Any thread; one call a build.
class BuildEngine final : public BuildRunner {
 public:
  explicit BuildEngine(BuildParts parts) : parts_(std::move(parts)) {}
  Result<SolveResponse> run(RunningBuild& build, std::stop_token stop) override;

 private:
  BuildParts parts_;
};

}  // namespace kiln::daemon
