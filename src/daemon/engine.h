// What the daemon can do besides talking: run builds, and tell and shrink what it holds. The gRPC
// services call it; the wiring of all rooms implements it.
//
//   KILN_ASSIGN_OR_RETURN(auto engine, open_engine(config, {.pool = &pool, .sessions = &sessions}));
//   Builds builds({.runner = &engine->runner(), …});
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/pool.h"
#include "base/status.h"
#include "content/blob_store.h"
#include "daemon/builds.h"
#include "daemon/config.h"
#include "frontend/bridge.h"
#include "history/history.h"
#include "host/space_reserve.h"
#include "session/session.h"
#include "store/gc.h"

namespace kiln::daemon {

// Port. Any thread; exists so that services are tested without stores and sandboxes. Engines with
// several workers do not exist: everything is one worker's.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual BuildRunner& runner() = 0;
  // Labels and platforms; platforms are looked up anew when they may have changed (binfmt).
  virtual frontend::WorkerInfo worker() = 0;
  // The policy by which it collects by itself, as clients are told.
  virtual std::vector<store::PruneOptions> gc_policy() = 0;
  virtual Result<std::vector<store::Usage>> usage(const std::vector<std::string>& filters, Duration age_limit,
                                                  std::stop_token stop) = 0;
  // Tells each record as it goes.
  virtual Status prune(const store::PruneOptions& options, const std::function<void(const store::Usage&)>& removed,
                       std::stop_token stop) = 0;
  // Collects by its own policy when nothing forbids it; called a second after a build ended and at
  // start. Must be cheap when there is nothing to do.
  virtual Status collect(std::stop_token stop) = 0;
  virtual content::BlobStore& blobs() = 0;
};

// What an engine stands on; all outlive it.
struct EngineGround {
  Pool* pool = nullptr;
  session::Sessions* sessions = nullptr;
  history::History* history = nullptr;
  std::string worker_id;
  host::SpaceReserve* reserve = nullptr;                // lent while things are removed
  std::function<std::string()> trace_socket = nullptr;  // for steps of traced builds; see op::OpPorts
};

// Opens the stores under config.root. Fast: what is slow starts in the background.
Result<std::unique_ptr<Engine>> open_engine(const Config& config, const EngineGround& ground);

}  // namespace kiln::daemon
