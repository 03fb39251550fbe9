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
    fail(edge, annotate(step.map_error, "failed to load cache key"));
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

// `edge` asks one of its inputs for something and is told once, when the input has it or has failed.
void Loop::want(EdgeState& edge, EdgeState& input, Wanters& wanters) {
  edge.wants_inputs = true;
  if (wanters.untold.insert(&edge).second) ++edge.awaited;
  if (wanters.all.insert(&edge).second) queue(input);
}

namespace {

// Of those with more inputs, none is looked at before all are there: it would be looked at for every one of them.
constexpr std::size_t kEarlyInputsMax = 64;

bool may_fail_early(const EdgeState& edge) {
  return edge.phase == Phase::kSolvingInputs && (edge.dug || edge.solve_all) &&
         edge.step->inputs.size() <= kEarlyInputsMax;
}

}  // namespace

void Loop::tell(EdgeState& edge, Wanters& wanters) {
  for (EdgeState* wanter : std::exchange(wanters.untold, {})) {
    --wanter->awaited;
    wanter->input_failed |= edge.phase == Phase::kFailed;
    if (!wanter->waits() || may_fail_early(*wanter)) queue(*wanter);
  }
}

bool Loop::on_asking_keys(EdgeState& edge) {
  if (edge.waits()) return false;
  bool ready = true;
  for (std::size_t i = 0; i < edge.step->inputs.size(); ++i) {
    EdgeState& input = input_edge(edge, i);
    if (input.phase == Phase::kFailed) {
      fail(edge, input.error);
      return true;
    }
    if (input.keyed()) continue;
    ready = false;
    want(edge, input, input.of_keys);
  }
  if (!ready) return false;
  look_up(edge);
  edge.phase = Phase::kKeyed;
  drop_input_wants(edge);
  return true;
}

bool Loop::on_keyed(EdgeState& edge) {
  tell(edge, edge.of_keys);
  if (!edge.of_more_keys.untold.empty()) dig(edge);
  if (!edge.output_wanted()) return false;
  drop_input_wants(edge);
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
  if (edge.waits()) return fails_early(edge);
  if (!edge.solve_all && !edge.dug) {
    if (!dig_below(edge)) return false;
    if (!edge.candidates.empty()) {
      edge.phase = Phase::kKeyed;
      return true;
    }
  }
  edge.solve_all = edge.solve_all || !content_may_decide(edge);
  if (!inputs_solved(edge) || !inputs_digested(edge)) return edge.phase == Phase::kFailed;

  look_up(edge);
  if (!edge.candidates.empty()) {
    edge.found_by_content = true;
    drop_input_wants(edge);
    edge.phase = Phase::kKeyed;
    return true;
  }
  if (edge.solve_all) edge.phase = Phase::kRunning;
  edge.solve_all = true;
  return true;
}

// While other inputs are still made, possibly for long: a file that is not there to be copied is told at once. Whether
// the edge failed.
bool Loop::fails_early(EdgeState& edge) {
  if (!may_fail_early(edge)) return false;
  Step& step = *edge.step;
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    if (!step.maps.front().inputs[i].content_keyed || input_edge(edge, i).phase != Phase::kDone) continue;
    if (step.digesting[i] == Activity::kNone) start_digest(edge, i);
    if (step.digesting[i] == Activity::kFailed) {
      fail(edge, step.digest_error);
      return true;
    }
  }
  return false;
}

bool Loop::content_may_decide(EdgeState& edge) {
  Step& step = *edge.step;
  if (step.vertex->ignore_cache) return false;
  const auto sources = sources_of(step);
  bool any_content = false;
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.maps.front().inputs[i].content_keyed) {
      any_content = true;
    } else if (!has_keys(edge, i, sources)) {
      return false;
    }
  }
  return any_content;
}

// Both ask for what is missing, or fail the edge.
bool Loop::inputs_solved(EdgeState& edge) {
  bool ready = true;
  for (std::size_t i = 0; i < edge.step->inputs.size(); ++i) {
    if (!edge.solve_all && !edge.step->maps.front().inputs[i].content_keyed) continue;
    EdgeState& input = input_edge(edge, i);
    if (input.phase == Phase::kFailed) {
      fail(edge, input.error);
      return false;
    }
    if (input.phase == Phase::kDone) continue;
    ready = false;
    want(edge, input, input.of_output);
  }
  return ready;
}

bool Loop::inputs_digested(EdgeState& edge) {
  Step& step = *edge.step;
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    if (!step.maps.front().inputs[i].content_keyed) continue;
    if (step.digesting[i] == Activity::kDone && step.digested[i] != input_edge(edge, i).made_anew) {
      step.digesting[i] = Activity::kNone;
      step.content_keys[i].clear();
    }
    if (step.digesting[i] == Activity::kNone) start_digest(edge, i);
    if (step.digesting[i] == Activity::kFailed) {
      fail(edge, step.digest_error);
      return false;
    }
  }
  return step.digests == 0;
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
    fail(edge,
         user_error(Code::kInvalidArgument, fmt::format("step '{}' has no output {}", step.vertex->name, edge.output)));
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
  tell(edge, edge.of_keys);
  tell(edge, edge.of_more_keys);
  tell(edge, edge.of_output);
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
    std::size_t dropped = 0;
    for (Wanters* wanters : {&input.of_keys, &input.of_more_keys, &input.of_output}) {
      wanters->untold.erase(&edge);
      dropped += wanters->all.erase(&edge);
    }
    if (dropped > 0 && !input.wanted()) reconsider(input);
  }
  edge.awaited = 0;
  edge.input_failed = false;
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
    edge.solve_all = false;
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
