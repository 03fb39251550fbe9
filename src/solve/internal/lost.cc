// A found result whose bytes cannot be had after all (an imported layer that is gone, a client that
// left): the hit becomes a miss. The output is made by running, and whoever needed it tries again.
#include "base/text.h"
#include "base/value.h"
#include "solve/internal/loop.h"

namespace kiln::solve {

// Whether asking the edge again may give something better than `lost`. An output that was made by
// running is as good as it gets.
bool Loop::make_anew(EdgeState& edge, const OutputRef& lost) {
  if (edge.phase != Phase::kDone || edge.result != lost) return true;  // another asker was first
  if (!edge.from_record) return false;
  for (const std::string& id : edge.its_records) {
    options_.spawner->spawn([own = options_.own.records, id] { own->forget(id); });
  }
  edge.dead_records.merge(edge.its_records);
  edge.its_records.clear();
  edge.from_record = false;
  ++edge.made_anew;
  edge.result = nullptr;
  look_up(edge);
  edge.phase = Phase::kKeyed;
  queue(edge);
  return true;
}

// `inputs` are those that the failed call was given.
bool Loop::make_inputs_anew(Step& step, const Status& status, const std::vector<OutputRef>& inputs) {
  const std::optional<std::string> lost = get_detail(status, kLostInputsDetail);
  if (!lost) return false;
  bool better = false;
  for (std::string_view text : split(*lost, ',')) {
    const std::optional<std::uint64_t> index = parse_unsigned(text, 10, inputs.size());
    if (!index || *index >= inputs.size() || !inputs[*index]) return false;
    if (!make_anew(input_edge(*step.edges.begin()->second, *index), inputs[*index])) return false;
    better = true;
  }
  return better;
}

// The run came to nothing; the step waits for its inputs once more, and so do its followers.
void Loop::run_again(Step& step) {
  flights_.erase(step.run_key);
  release_slot(step);
  const auto back = [&](Step& s) {
    s.running = Activity::kNone;
    for (auto& [output, edge] : s.edges) {
      if (edge->phase != Phase::kRunning) continue;
      edge->phase = Phase::kSolvingInputs;
      edge->solve_all = true;
    }
    wake(s);
  };
  back(step);
  for (auto& follower : std::exchange(step.followers, {})) {
    follower->leader = nullptr;
    back(*follower);
  }
}

}  // namespace kiln::solve
