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
#include "daemon/build_events.h"
#include "daemon/status_log.h"
#include "event/event.h"
#include "graph/definition.h"
#include "history/record.h"

namespace kiln::history {
class History;
}
namespace kiln::observe {
class Metrics;
}

namespace kiln::daemon {

class Afterwords;
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
  bool internal = false;                     // leaves no record
  std::optional<std::string> source_policy;  // serialised moby.buildkit.v1.sourcepolicy.Policy
  std::string source_policy_session;
  bool enable_session_exporter = false;
  std::int64_t compatibility_version = 0;  // 0 = current
  bool proxy_network = false;
  bool explain = false;      // say in each step's log why it runs
  std::string trace_parent;  // W3C traceparent of the caller, "" = none
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
  event::EventSink& events() { return *events_; }
  event::MissSink& misses() { return *events_; }
  observe::BuildTrace& trace() { return events_->trace(); }
  void explain_in_log(Explain explain) { events_->explain_in_log(std::move(explain)); }
  BuildEvents::Misses take_misses() { return events_->take_misses(); }
  const std::shared_ptr<StatusLog>& status_log() const { return log_; }

  // Makes the build's gateway reachable under its ref until serve(nullptr). The runner keeps it
  // alive by sharing; calls under way may outlast serve(nullptr).
  void serve(std::shared_ptr<Gateway> gateway);
  // Waits for a gateway to be served, at most `timeout`; null when none was, or when the build ended.
  std::shared_ptr<Gateway> wait_for_gateway(std::stop_token stop, Duration timeout);

  // Facts for the record. `platform` "" means the result without platforms.
  void add_result(std::int64_t exporter_index, history::Descriptor descriptor);
  // Blobs of the history that live as long as this build's record, besides those that the record names itself.
  void keep_blobs(const std::vector<std::string>& digests);
  void add_attestation(const std::string& platform, history::Descriptor descriptor);
  // More facts, which take longer to find out than a client should wait: found after the answer.
  void add_afterwards(std::function<Status()> find_out);

  // For Builds: the collected facts, those of add_afterwards() included, and the end.
  Status run_afterwards();
  void fill(history::Record& record) const;
  void end();

 private:
  SolveRequest request_;
  std::shared_ptr<StatusLog> log_;
  std::unique_ptr<BuildEvents> events_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::shared_ptr<Gateway> gateway_;
  bool ended_ = false;
  std::vector<std::string> kept_;
  std::optional<history::ResultInfo> result_;
  std::map<std::string, history::ResultInfo> results_;
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
  Afterwords* afterwords = nullptr;     // null: records get no trace and no explanations
  observe::Metrics* metrics = nullptr;  // may be null
  Pool* pool = nullptr;
  std::string spool;       // directory for the logs of running builds; "" = memory
  Clock* clock = nullptr;  // null: the machine's
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

  // What the build tells, whether it runs or ended within the last ten seconds: clients ask for the
  // status while they ask for the build, and a quick build may end before that. Null when there is
  // none; the second form waits for it.
  std::shared_ptr<StatusLog> status_log(const std::string& ref) const;
  std::shared_ptr<StatusLog> wait_for_status_log(const std::string& ref, std::stop_token stop, Duration timeout);

  // A client's span: kept with the build of its trace; false when none runs.
  bool add_span(const observe::Span& span);

  int running() const;
  // Each build that runs now; `look` is called under a lock and must be quick.
  void each(const std::function<void(const RunningBuild&)>& look) const;
  // Refuses new builds with Unavailable from now on; those that run go on.
  void drain();
  // Stops every build.
  void cancel_all();
  // Blocks until nothing runs.
  void wait_idle();

 private:
  struct Entry;
  void live(Entry& entry, std::stop_token stop, const std::function<void(Result<SolveResponse>)>& done);
  void run(const std::shared_ptr<RunningBuild>& build, std::stop_token stop,
           const std::function<void(const Result<SolveResponse>&)>& answer);
  void write_record(const std::shared_ptr<RunningBuild>& build, history::Record record,
                    const Result<SolveResponse>& response);
  void count(const RunningBuild& build, Time began, const Status& status);
  void tell_progress(RunningBuild& build);
  std::shared_ptr<StatusLog> status_log_locked(const std::string& ref) const;
  void keep_ended_locked(const RunningBuild& build);

  BuildsOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  struct Ended {
    std::shared_ptr<StatusLog> log;
    Time at{};
  };
  std::map<std::string, Ended> ended_;  // lately
  int working_ = 0;                     // builds accepted whose `done` has not returned
  bool draining_ = false;
};

}  // namespace kiln::daemon
