// The solver's memory of one vertex while builds hold it, and of each of its outputs.
//
// A step is shared by every build whose graph holds the vertex's digest. All fields belong to the
// solver's loop: only code running in Loop::drain touches them, so there are no locks here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/record_store.h"
#include "solve/internal/events.h"
#include "solve/op.h"
#include "solve/solver.h"

namespace kiln::solve {

struct Step;
struct EdgeState;
using SourceId = std::uint64_t;  // 0 is the daemon's own cache
inline constexpr SourceId kOwn = 0;

// States of one output. Arrows that lead back come from abandonment (nobody wants it any more), which
// returns an unfinished edge to kIdle or kKeyed, and from a loss (what a record led to cannot be had
// after all), which returns a finished one to kKeyed.
//
//   kIdle → kMapping → kAskingKeys → kKeyed ─hit──────────────→ kLoading ─→ kDone
//              │ (no inputs)            ↑      └miss→ kSolvingInputs ─hit→ ┘    ↑
//              └────────────────────────┘                  └miss→ kRunning ─────┘
//   any of them → kFailed
enum class Phase {
  kIdle,           // nobody has asked yet
  kMapping,        // the op says its cache key
  kAskingKeys,     // the inputs say their keys
  kKeyed,          // keys by definition are known; waits until somebody wants the output
  kLoading,        // a record is being turned into the output
  kSolvingInputs,  // inputs are being solved and digested
  kRunning,        // waits for a slot, for another's run of the same key, or for its own run
  kDone,
  kFailed,
};

// A record that may be the wanted output.
struct Candidate {
  SourceId source = kOwn;
  cache::KeyId key;
  cache::Record record;
};

// Somebody outside the graph who wants an output.
struct Request {
  std::uint64_t id = 0;
  std::uint64_t job = 0;
  std::function<void(Result<Solved>)> done;
  OutputRef lost;  // what the asker got before and could not use
};

// Edges that want something of another one. Work goes on as long as there is one; each is told once,
// and then counts one less that it waits for (EdgeState::awaited). So an edge of n inputs looks at all
// of them when the last has spoken, and not n times.
struct Wanters {
  std::set<EdgeState*> all;
  std::set<EdgeState*> untold;
};

struct EdgeState {
  Step* step = nullptr;
  int output = 0;
  Phase phase = Phase::kIdle;

  Wanters of_keys;
  Wanters of_more_keys;  // by content, which definitions do not give
  Wanters of_output;
  std::vector<Request> requests;
  bool queued = false;        // stands on the loop's agenda
  bool wants_inputs = false;  // whether this edge stands among the wanters of its inputs
  std::size_t awaited = 0;    // how many of them have not told it anything yet
  bool input_failed = false;  // one of them told of its failure

  int map_index = 0;
  std::vector<cache::KeyId> common_keys;                      // the same in every source
  std::map<SourceId, std::vector<cache::KeyId>> source_keys;  // known to one source only
  std::vector<Candidate> candidates;
  std::set<std::string> dead_records;  // records that turned out to be gone
  bool found_by_content = false;       // the candidates were found only with content keys
  bool dug = false;                    // no more keys are to be had without running
  bool solve_all = false;              // content keys cannot help, or did not: the rest is needed too

  OutputRef result;
  bool from_record = false;           // the result was found, not made
  std::set<std::string> its_records;  // under which it was found, and that our cache has of it now
  int made_anew = 0;                  // how often what was found had to be taken back
  Status error;

  bool wanted() const { return !of_keys.all.empty() || !of_more_keys.all.empty() || output_wanted(); }
  bool waits() const { return awaited > 0 && !input_failed; }
  bool output_wanted() const { return !of_output.all.empty() || !requests.empty(); }
  bool keyed() const { return phase >= Phase::kKeyed && phase != Phase::kFailed; }
  std::vector<cache::KeyId> keys_in(SourceId source) const;
  bool has_keys_in(SourceId source) const;
};

// The builds that want a step; running tasks read it while the loop changes it.
class JobSet {
 public:
  void insert(std::uint64_t job);
  void erase(std::uint64_t job);
  bool contains(std::uint64_t job) const;
  bool empty() const;
  std::vector<std::uint64_t> list() const;

 private:
  mutable std::mutex mutex_;
  std::set<std::uint64_t> jobs_;
};

enum class Activity { kNone, kPending, kDone, kFailed };

struct Step : std::enable_shared_from_this<Step> {
  std::shared_ptr<const Vertex> vertex;
  std::unique_ptr<Op> op;
  std::map<int, std::unique_ptr<EdgeState>> edges;
  std::vector<std::shared_ptr<Step>> inputs;  // parallel to vertex->inputs
  JobSet jobs;                                // builds whose graph holds the vertex
  JobSet serving;                             // those, and the builds of followers
  std::shared_ptr<StepEvents> events;

  // Work in flight. A new generation begins when the work is cancelled; answers of an older one
  // are dropped, and nothing new starts before the older has drained.
  std::uint64_t generation = 0;
  int tasks = 0;
  int stale_tasks = 0;
  std::stop_source stop;

  std::vector<CacheMap> maps;
  Activity mapping = Activity::kNone;
  Status map_error;

  std::vector<Activity> digesting;         // one an input
  std::size_t digests = 0;                 // how many of them are pending
  std::vector<cache::KeyId> content_keys;  // one an input; "" = none
  std::vector<int> digested;               // made_anew of the input when it was digested
  Status digest_error;

  Activity running = Activity::kNone;
  std::string run_key;
  bool holds_slot = false;
  bool cached_run = false;  // got its outputs from another step's run
  std::vector<OutputRef> outputs;
  std::vector<cache::KeyId> output_keys;
  Status run_error;
  std::shared_ptr<Step> leader;  // whose run this one waits for
  std::vector<std::shared_ptr<Step>> followers;

  EdgeState& edge(int output);
  bool wanted() const;
};

}  // namespace kiln::solve
