// The solver's loop: one logical thread that owns all steps. Everybody else posts messages; whoever
// posts to an idle loop has it drained on the spawner. Work that blocks (an op's calls, loading and
// saving outputs) runs in spawned tasks that post their answer back.
//
// The loop's rule: after each message every edge on the agenda is advanced (advance.cc) until none
// can move, then edges that nobody wants any more are abandoned. docs/solver.md tells it whole.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "solve/internal/step.h"
#include "solve/solver.h"

namespace kiln::solve {

struct JobState {
  std::uint64_t id = 0;
  std::shared_ptr<JobEvents> events;
  std::vector<SourceId> imports;
  std::vector<std::shared_ptr<Step>> steps;  // in order of loading
};

// Ids of the sessions of each job; shared with running tasks, which read it at any time.
class SessionBook {
 public:
  void add(std::uint64_t job, const std::string& session);
  void remove(std::uint64_t job);
  std::vector<std::string> of(const std::vector<std::uint64_t>& jobs) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::vector<std::string>> sessions_;
};

class Loop : public std::enable_shared_from_this<Loop> {
 public:
  explicit Loop(SolverOptions options) : options_(std::move(options)) { sources_[kOwn] = options_.own; }

  // Any thread.
  void post(std::function<void()> message);
  std::uint64_t next_id() { return ids_.fetch_add(1) + 1; }
  std::size_t live_steps() const { return live_steps_.load(); }
  SessionBook& sessions() { return sessions_; }

  // Messages; loop only.
  void open_job(std::uint64_t id, std::shared_ptr<JobEvents> events, std::vector<CacheSource> imports);
  void close_job(std::uint64_t id);
  void add_import(std::uint64_t job, CacheSource source);
  void request(const Edge& edge, Request request);
  void cancel_request(std::uint64_t request_id);
  void cancel_job(std::uint64_t job);
  std::vector<KnownOutput> known(std::uint64_t job) const;

 private:
  void drain();
  void settle();

  // attach.cc: steps and the builds that hold them
  std::shared_ptr<Step> load(JobState& job, const std::shared_ptr<const Vertex>& vertex);
  std::shared_ptr<Step> attach(JobState& job, const std::shared_ptr<const Vertex>& vertex);
  void forget_failure(Step& step);

  // advance.cc: the states
  void advance(EdgeState& edge);
  bool on_mapping(EdgeState& edge);
  bool on_asking_keys(EdgeState& edge);
  bool on_keyed(EdgeState& edge);
  bool on_solving_inputs(EdgeState& edge);
  bool fails_early(EdgeState& edge);
  bool content_may_decide(EdgeState& edge);
  bool inputs_solved(EdgeState& edge);
  bool inputs_digested(EdgeState& edge);
  bool on_running(EdgeState& edge);
  void deliver(EdgeState& edge);
  void fail(EdgeState& edge, const Status& status);
  void finish(EdgeState& edge, OutputRef output);
  void want(EdgeState& edge, EdgeState& input, Wanters& wanters);
  void tell(EdgeState& edge, Wanters& wanters);
  void drop_input_wants(EdgeState& edge);
  void wake(Step& step);
  void abandon(EdgeState& edge);
  EdgeState& input_edge(EdgeState& edge, std::size_t index);

  // lost.cc: found results that turn out to be out of reach
  bool make_anew(EdgeState& edge, const OutputRef& lost);
  bool make_inputs_anew(Step& step, const Status& status, const std::vector<OutputRef>& inputs);
  void run_again(Step& step);

  // dig.cc: keys by content, without running
  bool is_dug(EdgeState& edge) const;
  Activity dig_inputs(EdgeState& edge);
  Activity dig_contents(EdgeState& edge);
  void dig(EdgeState& edge);
  bool dig_below(EdgeState& edge);

  // lookup.cc: keys and records
  std::vector<SourceId> sources_of(const Step& step) const;
  std::vector<cache::InputKey> input_keys(EdgeState& edge, std::size_t input, SourceId source);
  bool has_keys(EdgeState& edge, std::size_t input, const std::vector<SourceId>& sources);
  std::vector<cache::InputKey> lasting_keys(EdgeState& edge, std::size_t input);
  void look_up(EdgeState& edge);
  void add_candidates(EdgeState& edge, SourceId source, const cache::KeyId& key);

  // tasks.cc: work outside the loop
  void spawn(Step& step, std::function<std::function<void()>(RunContext&)> work);
  void start_mapping(Step& step);
  void start_digest(EdgeState& edge, std::size_t input);
  void start_load(EdgeState& edge);
  void cancel_work(Step& step);

  // flight.cc: one run a key, so many at once
  void start_run(EdgeState& edge);
  event::CacheMiss describe_miss(EdgeState& edge);  // miss.cc
  void take_slot_or_wait(Step& step);
  void run_now(Step& step);
  void run_finished(Step& step, Result<std::vector<OutputRef>> outputs, std::vector<cache::KeyId> keys);
  void release_slot(Step& step);
  void leave_flight(Step& step);

  SolverOptions options_;
  std::atomic<std::uint64_t> ids_ = 0;
  std::atomic<std::size_t> live_steps_ = 0;
  SessionBook sessions_;

  std::mutex inbox_mutex_;
  std::deque<std::function<void()>> inbox_;
  bool draining_ = false;

  // Owned by the loop.
  std::unordered_map<Digest, std::shared_ptr<Step>> steps_;
  std::map<std::uint64_t, JobState> jobs_;
  std::map<SourceId, CacheSource> sources_;
  std::deque<std::pair<std::shared_ptr<Step>, EdgeState*>> agenda_;
  std::deque<std::pair<std::shared_ptr<Step>, EdgeState*>> unwanted_;
  std::map<std::uint64_t, EdgeState*> requests_;
  std::unordered_map<std::string, std::shared_ptr<Step>> flights_;
  std::deque<std::shared_ptr<Step>> slot_queue_;
  int slots_taken_ = 0;

  void queue(EdgeState& edge) {
    if (!std::exchange(edge.queued, true)) agenda_.emplace_back(edge.step->shared_from_this(), &edge);
  }
  void reconsider(EdgeState& edge) { unwanted_.emplace_back(edge.step->shared_from_this(), &edge); }
};

// Adds the vertex's digest to an error, once: whoever reports it can find the source lines.
Status with_vertex(const Status& status, const Digest& vertex);

}  // namespace kiln::solve
