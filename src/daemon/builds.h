// The builds of this daemon: who runs, under which name, what they tell, and where their frontend
// can be reached. The gRPC services stand above (they start, watch and talk to builds), the runner
// stands below (it does the work: src/daemon/build.h). Neither knows the other.
//
//   Builds builds({.runner = &runner, .history = history.get(), .pool = &pool});
//   builds.solve(std::move(request), stop, [](Result<SolveResponse> r) { … });
//   std::shared_ptr<RunningBuild> build = builds.find(ref);
//
// Shapes of requests follow moby.buildkit.v1.Control.Solve; older forms of a request (single
// exporter, export and import references) are translated before they get here.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/pool.h"
#include "base/status.h"
#include "daemon/status_log.h"
#include "event/event.h"
#include "graph/definition.h"
#include "history/record.h"

namespace kiln::history {
class History;
}

namespace kiln::daemon {

class Gateway;

using Attrs = std::map<std::string, std::string>;

struct ExporterSpec {
  std::string type;
  Attrs attrs;
};
struct CacheSpec {
  std::string type;
  Attrs attrs;
};

// One build as asked for. Without definition and without frontend the frontend runs at the client:
// it reaches the build through a Gateway under the build's ref.
struct SolveRequest {
  std::string ref;
  std::optional<graph::Definition> definition;
  std::string frontend;
  Attrs frontend_attrs;
  std::map<std::string, graph::Definition> frontend_inputs;
  std::vector<ExporterSpec> exporters;
  std::vector<CacheSpec> cache_exports;
  std::vector<CacheSpec> cache_imports;
  std::string session;
  std::vector<std::string> entitlements;
  bool internal = false;                    // leaves no record
  std::optional<std::string> source_policy; // serialised moby.buildkit.v1.sourcepolicy.Policy
  std::string source_policy_session;
  bool enable_session_exporter = false;
  std::int64_t compatibility_version = 0;   // 0 = current
  bool proxy_network = false;
  std::string trace_parent;                 // W3C traceparent of the caller, "" = none
};

struct SolveResponse {
  Attrs exporter_response;
};

// A build from its registration to the end of its record. Shared by the services that watch it;
// any thread.
class RunningBuild {
 public:
  RunningBuild(SolveRequest request, std::shared_ptr<StatusLog> log);

  const SolveRequest& request() const { return request_; }
  const std::string& ref() const { return request_.ref; }
  // Where everything that happens in the build is told.
  event::EventSink& events() { return *log_; }
  const std::shared_ptr<StatusLog>& status_log() const { return log_; }

  // Makes the build's gateway reachable under its ref until serve(nullptr). The runner keeps it
  // alive by sharing; calls under way may outlast serve(nullptr).
  void serve(std::shared_ptr<Gateway> gateway);
  // Waits for a gateway to be served, at most `timeout`; null when none was, or when the build ended.
  std::shared_ptr<Gateway> wait_for_gateway(std::stop_token stop, Duration timeout);

  // Facts for the record. `platform` "" means the result without platforms.
  void add_result(std::int64_t exporter_index, history::Descriptor descriptor);
  void add_attestation(const std::string& platform, history::Descriptor descriptor);
  void set_trace(history::Descriptor descriptor);
  // More facts, which take longer to find out than a client should wait: found after the answer.
  void add_afterwards(std::function<Status()> find_out);

  // For Builds: the collected facts, those of add_afterwards() included, and the end.
  Status run_afterwards();
  void fill(history::Record& record) const;
  void end();

 private:
  SolveRequest request_;
  std::shared_ptr<StatusLog> log_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::shared_ptr<Gateway> gateway_;
  bool ended_ = false;
  std::optional<history::ResultInfo> result_;
  std::map<std::string, history::ResultInfo> results_;
  std::optional<history::Descriptor> trace_;
  std::vector<std::function<Status()>> afterwards_;
};

// Port: runs one build to its end. Implementers: called on a pool thread, once a build, several at
// a time; block until done; give Cancelled soon after `stop`; keep typed details on errors. It
// exists so that the services are tested with a scripted runner.
class BuildRunner {
 public:
  virtual ~BuildRunner() = default;
  virtual Result<SolveResponse> run(RunningBuild& build, std::stop_token stop) = 0;
};

struct BuildsOptions {
  BuildRunner* runner = nullptr;
  history::History* history = nullptr;  // null: nothing is recorded
  Pool* pool = nullptr;
  std::string spool;                    // directory for the logs of running builds; "" = memory
  Clock* clock = nullptr;               // null: the machine's
};

// Owned by the daemon; any thread. The destructor cancels what runs and waits for it.
class Builds {
 public:
  explicit Builds(BuildsOptions options);
  ~Builds();
  Builds(const Builds&) = delete;
  Builds& operator=(const Builds&) = delete;

  // Registers the build, runs it on the pool and calls `done` once, from a pool thread, when its
  // record is written. AlreadyExists (through `done`) when a build of that ref runs. Cancelled when
  // `stop` is stopped. Never blocks.
  void solve(SolveRequest request, std::stop_token stop, std::function<void(Result<SolveResponse>)> done);

  std::shared_ptr<RunningBuild> find(const std::string& ref) const;
  // Waits until a build of that ref is registered, at most `timeout`. Null when none came, and at once
  // when it came and went a moment ago.
  std::shared_ptr<RunningBuild> wait(const std::string& ref, std::stop_token stop, Duration timeout);

  int running() const;
  // Refuses new builds with Unavailable from now on; those that run go on.
  void drain();
  // Stops every build.
  void cancel_all();
  // Blocks until nothing runs.
  void wait_idle();

 private:
  struct Entry;
  void run(const std::shared_ptr<RunningBuild>& build, std::stop_token stop,
           const std::function<void(const Result<SolveResponse>&)>& answer);
  void tell_progress(RunningBuild& build);

  BuildsOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::deque<std::string> ended_;  // the refs of the last few
  int working_ = 0;  // builds accepted whose `done` has not returned
  bool draining_ = false;
};

}  // namespace kiln::daemon
