// The states of an edge. Each on_… function looks at one state and answers whether the edge moved
// on; advance repeats until it cannot. Nothing here blocks.
#include "solve/internal/loop.h"

namespace kiln::solve {

void Loop::advance(EdgeState& edge) {
  bool moved = true;
  while (moved) {
    if (edge.step->stale_tasks > 0) return;  // the drain of cancelled work comes back here
    switch (edge.phase) {
      case Phase::kIdle:
        edge.told = Phase::kIdle;
        moved = edge.wanted();
        if (moved) edge.phase = Phase::kMapping;
        break;
      case Phase::kMapping: moved = on_mapping(edge); break;
      case Phase::kAskingKeys: moved = on_asking_keys(edge); break;
      case Phase::kKeyed: moved = on_keyed(edge); break;
      case Phase::kSolvingInputs: moved = on_solving_inputs(edge); break;
      case Phase::kRunning: moved = on_running(edge); break;
      case Phase::kLoading: moved = false; break;
      case Phase::kDone:
      case Phase::kFailed:
        deliver(edge);
        moved = false;
        break;
    }
  }
}

EdgeState& Loop::input_edge(EdgeState& edge, std::size_t index) {
  return edge.step->inputs[index]->edge(edge.step->vertex->inputs[index].output);
}

bool Loop::on_mapping(EdgeState& edge) {
  Step& step = *edge.step;
  if (step.mapping == Activity::kFailed) {
    fail(edge, step.map_error);
    return true;
  }
  if (static_cast<int>(step.maps.size()) <= edge.map_index) {
    if (step.mapping == Activity::kPending) return false;
    start_mapping(step);
    return step.mapping != Activity::kPending;
  }
  const CacheMap& map = step.maps[edge.map_index];
  if (!step.vertex->inputs.empty()) {
    edge.phase = Phase::kAskingKeys;
    return true;
  }
  edge.common_keys.push_back(cache::root_key(map.digest, edge.output));
  look_up(edge);
  if (edge.candidates.empty() && !map.last) {
    ++edge.map_index;
  } else {
    edge.phase = Phase::kKeyed;
  }
  return true;
}

bool Loop::on_asking_keys(EdgeState& edge) {
  bool ready = true;
  for (std::size_t i = 0; i < edge.step->inputs.size(); ++i) {
    EdgeState& input = input_edge(edge, i);
    if (input.phase == Phase::kFailed) {
      fail(edge, input.error);
      return true;
    }
    if (input.keyed()) continue;
    ready = false;
    edge.wants_inputs = true;
    if (input.key_wanters.insert(&edge).second) queue(input);
  }
  if (!ready) return false;
  look_up(edge);
  edge.phase = Phase::kKeyed;
  drop_input_wants(edge);
  return true;
}

// Once a phase: a graph may have very many edges between few vertices.
void Loop::wake_wanters(EdgeState& edge) {
  if (std::exchange(edge.told, edge.phase) == edge.phase) return;
  for (auto* wanter : edge.key_wanters) queue(*wanter);
  for (auto* wanter : edge.dig_wanters) queue(*wanter);
  for (auto* wanter : edge.output_wanters) queue(*wanter);
}

bool Loop::on_keyed(EdgeState& edge) {
  wake_wanters(edge);
  if (!edge.dig_wanters.empty()) dig(edge);
  if (!edge.output_wanted()) return false;
  if (!edge.candidates.empty()) {
    edge.phase = Phase::kLoading;
    start_load(edge);
    return false;
  }
  edge.phase = edge.step->vertex->inputs.empty() ? Phase::kRunning : Phase::kSolvingInputs;
  return true;
}

// The content-keyed inputs come first when the others have keys, because then their content alone
// may decide. Otherwise nothing but running can help, and all inputs are solved at once.
bool Loop::on_solving_inputs(EdgeState& edge) {
  Step& step = *edge.step;
  if (!edge.solve_all && !edge.dug) {
    if (!dig_below(edge)) return false;
    if (!edge.candidates.empty()) {
      edge.phase = Phase::kKeyed;
      return true;
    }
  }
  const auto& rules = step.maps.front().inputs;
  bool all = edge.solve_all || step.vertex->ignore_cache;
  bool any_content = false;
  for (std::size_t i = 0; i < rules.size() && !all; ++i) {
    any_content |= rules[i].content_keyed;
    if (rules[i].content_keyed) continue;
    bool has_keys = false;
    for (auto source : sources_of(step)) has_keys |= !input_keys(edge, i, source).empty();
    all |= !has_keys;
  }
  all |= !any_content;

  bool ready = true;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!all && !rules[i].content_keyed) continue;
    EdgeState& input = input_edge(edge, i);
    if (input.phase == Phase::kFailed) {
      fail(edge, input.error);
      return true;
    }
    if (input.phase == Phase::kDone) continue;
    ready = false;
    edge.wants_inputs = true;
    if (input.output_wanters.insert(&edge).second) queue(input);
  }
  if (!ready) return false;

  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!rules[i].content_keyed) continue;
    if (step.digesting[i] == Activity::kDone && step.digested[i] != input_edge(edge, i).made_anew) {
      step.digesting[i] = Activity::kNone;
      step.content_keys[i].clear();
    }
    if (step.digesting[i] == Activity::kNone) start_digest(edge, i);
    if (step.digesting[i] == Activity::kFailed) {
      fail(edge, step.digest_error);
      return true;
    }
    ready &= step.digesting[i] == Activity::kDone;
  }
  if (!ready) return false;

  look_up(edge);
  if (!edge.candidates.empty()) {
    edge.found_by_content = true;
    drop_input_wants(edge);
    edge.phase = Phase::kKeyed;
    return true;
  }
  if (!all) {
    edge.solve_all = true;
    return true;
  }
  edge.phase = Phase::kRunning;
  return true;
}

bool Loop::on_running(EdgeState& edge) {
  Step& step = *edge.step;
  switch (step.running) {
    case Activity::kNone: start_run(edge); return step.running == Activity::kDone;
    case Activity::kPending: return false;
    case Activity::kFailed: fail(edge, step.run_error); return true;
    case Activity::kDone: break;
  }
  if (edge.output < 0 || edge.output >= static_cast<int>(step.outputs.size())) {
    fail(edge, user_error(Code::kInvalidArgument,
                          fmt::format("step '{}' has no output {}", step.vertex->name, edge.output)));
    return true;
  }
  if (static_cast<std::size_t>(edge.output) < step.output_keys.size() && !step.vertex->inputs.empty()) {
    auto& own = edge.source_keys[kOwn];
    const auto& key = step.output_keys[edge.output];
    if (std::find(own.begin(), own.end(), key) == own.end()) own.insert(own.begin(), key);
  }
  finish(edge, step.outputs[edge.output]);
  return true;
}

void Loop::finish(EdgeState& edge, OutputRef output) {
  edge.result = std::move(output);
  edge.phase = Phase::kDone;
  drop_input_wants(edge);
}

void Loop::fail(EdgeState& edge, const Status& status) {
  edge.error = with_vertex(status, edge.step->vertex->digest);
  edge.phase = Phase::kFailed;
  drop_input_wants(edge);
}

void Loop::deliver(EdgeState& edge) {
  wake_wanters(edge);
  for (auto& request : edge.requests) {
    requests_.erase(request.id);
    auto answer = edge.phase == Phase::kDone ? Result<Solved>(Solved{edge.result, edge.keys_in(kOwn)})
                                             : Result<Solved>(edge.error);
    options_.spawner->spawn([done = std::move(request.done), answer = std::move(answer)] { done(answer); });
  }
  edge.requests.clear();
}

void Loop::drop_input_wants(EdgeState& edge) {
  if (!edge.wants_inputs) return;
  edge.wants_inputs = false;
  for (std::size_t i = 0; i < edge.step->inputs.size(); ++i) {
    EdgeState& input = input_edge(edge, i);
    std::size_t dropped =
        input.key_wanters.erase(&edge) + input.dig_wanters.erase(&edge) + input.output_wanters.erase(&edge);
    if (dropped > 0 && !input.wanted()) reconsider(input);
  }
}

void Loop::wake(Step& step) {
  for (auto& [output, edge] : step.edges) queue(*edge);
}

// Nobody wants the edge any more: it gives up what it asked for and what its step is doing.
void Loop::abandon(EdgeState& edge) {
  if (edge.phase == Phase::kDone || edge.phase == Phase::kFailed || edge.phase == Phase::kIdle) return;
  drop_input_wants(edge);
  if (edge.phase != Phase::kKeyed) {
    bool was_keyed = edge.phase > Phase::kKeyed;
    edge.phase = was_keyed ? Phase::kKeyed : Phase::kIdle;
    if (!was_keyed) {
      edge.map_index = 0;
      edge.common_keys.clear();
      edge.source_keys.clear();
      edge.candidates.clear();
    }
  }
  if (!edge.step->wanted()) cancel_work(*edge.step);
}

}  // namespace kiln::solve
