// Who wants what: evaluates vertices with memory, each step at most once at a time, in parallel, and
// cancelled when nobody wants it any more. docs/solver.md is its description on one page.
//
//   auto job = solver.new_job({.sink = &sink, .sessions = {session_id}});
//   Result<Solved> solved = job->solve({vertex, 0}, stop);
//
// Order of attempts for an output: records under definition keys; records under content keys
// (which needs the content-keyed inputs); running (which needs all inputs).
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "cache/record_store.h"
#include "event/event.h"
#include "solve/op.h"

namespace kiln::solve {

// Turns record ids into outputs and back. Why a port: the daemon's own outputs are trees on disk,
// those of an imported cache are layers far away, those of tests are numbers.
// An implementer must guarantee that a fault is a miss: load gives nullopt and logs.
class OutputStore {
 public:
  virtual ~OutputStore() = default;
  // The output of the record, or nothing when it is gone. May block.
  virtual std::optional<OutputRef> load(const std::string& record_id, RunContext& context) = 0;
  // Keeps the output; gives its record. Blocks shortly.
  virtual Result<cache::Record> save(const OutputRef& output) = 0;
};

// Keys and the outputs that they lead to: the daemon's own, or one imported for a build.
struct CacheSource {
  std::shared_ptr<cache::RecordStore> records;
  std::shared_ptr<OutputStore> outputs;
};

// Runs tasks. Real: a Pool; in tests: a scheduler with a seed.
class Spawner {
 public:
  virtual ~Spawner() = default;
  virtual void spawn(std::function<void()> task) = 0;
};

// Detail of every error that a step gave: the digest of its vertex, as text.
inline constexpr std::string_view kVertexDetail = "kiln/vertex";

// A solved output with the keys (in the daemon's own store) that it is known under.
struct Solved {
  OutputRef output;
  std::vector<cache::KeyId> keys;
};

// What is known of one output of a job's graphs, solved or only keyed.
struct KnownOutput {
  Digest vertex;
  int output = 0;
  OutputRef result;                // null while it is not solved, and for the empty tree
  std::vector<cache::KeyId> keys;  // in the daemon's own store
};

struct JobOptions {
  event::EventSink* sink = nullptr;   // outlives the job
  std::vector<std::string> sessions;  // sessions that may serve its steps
  std::vector<CacheSource> imports;   // looked up after the daemon's own
  event::MissSink* misses = nullptr;  // outlives the job; told why steps run; may be null
};

class Loop;       // internal
class JobEvents;  // internal

// One build's wants. Destroying it gives up whatever it still wants. Any thread.
class Job {
 public:
  Job(std::shared_ptr<Loop> loop, std::uint64_t id, std::shared_ptr<JobEvents> events);
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Calls `done` exactly once, from a spawned task: with the output, the step's error, or Cancelled
  // after cancel() or the job's end.
  void solve(const Edge& edge, std::function<void(Result<Solved>)> done);
  // The same, blocking; gives Cancelled soon after `stop`.
  Result<Solved> solve(const Edge& edge, std::stop_token stop);
  // The same two for somebody who got `lost` and found that its bytes cannot be had: what was found in
  // a cache is made by running. Gives `lost` itself when there is nothing better.
  void solve_again(const Edge& edge, OutputRef lost, std::function<void(Result<Solved>)> done);
  Result<Solved> solve_again(const Edge& edge, OutputRef lost, std::stop_token stop);
  void add_import(CacheSource source);
  void add_session(const std::string& id);
  // Everything that the job's wants have touched so far, for whoever describes a build. Blocks shortly.
  std::vector<KnownOutput> known();
  void cancel();

 private:
  std::shared_ptr<Loop> loop_;
  std::uint64_t id_;
  std::shared_ptr<JobEvents> events_;
};

struct SolverOptions {
  std::shared_ptr<Spawner> spawner;
  CacheSource own;
  int parallelism_max = 0;  // 0 = no limit
};

// Any thread. Must outlive its jobs.
class Solver {
 public:
  explicit Solver(SolverOptions options);
  ~Solver();
  std::shared_ptr<Job> new_job(JobOptions options);
  // Steps held by live jobs; 0 when the solver is quiet. For tests and the debug endpoint.
  std::size_t live_steps() const;

 private:
  std::shared_ptr<Loop> loop_;
};

}  // namespace kiln::solve
