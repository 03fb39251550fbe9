// Keys by content, without running: a step that definitions say nothing of (it copies from a client's
// directory) may still be known by what it copies. Whoever is built on it, and found no record, asks for
// such keys before anything runs; a cache that keeps only the last layers is of use for no other reason.
#include "solve/internal/loop.h"

namespace kiln::solve {

// Whether any store knows the edge by a key, or nothing is to be learned of it.
bool Loop::is_dug(EdgeState& edge) const {
  if (edge.dug || edge.phase == Phase::kDone || edge.step->vertex->inputs.empty()) return true;
  if (!edge.common_keys.empty()) return true;
  for (const auto& [source, keys] : edge.source_keys) {
    if (!keys.empty()) return true;
  }
  return false;
}

// Asks the inputs of `edge` for their keys. Gives kPending while some may still be found, kFailed when an
// input whose content does not count has none, so that no key of `edge` can be made.
Activity Loop::dig_inputs(EdgeState& edge) {
  Step& step = *edge.step;
  const auto& rules = step.maps.front().inputs;
  const auto sources = sources_of(step);
  bool pending = false;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    EdgeState& input = input_edge(edge, i);
    if (input.phase == Phase::kFailed) return Activity::kFailed;
    // What others already work on will tell its keys when it is done.
    if (!is_dug(input) && input.phase <= Phase::kKeyed) {
      pending = true;
      want(edge, input, input.of_more_keys);
      continue;
    }
    if (!rules[i].content_keyed && !has_keys(edge, i, sources)) return Activity::kFailed;
  }
  return pending ? Activity::kPending : Activity::kDone;
}

// The content of those inputs that can be had without running. Gives kDone when all is digested.
Activity Loop::dig_contents(EdgeState& edge) {
  Step& step = *edge.step;
  const auto& rules = step.maps.front().inputs;
  bool pending = false;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!rules[i].content_keyed || step.digesting[i] == Activity::kDone) continue;
    if (step.digesting[i] == Activity::kFailed) return Activity::kFailed;
    EdgeState& input = input_edge(edge, i);
    if (input.phase == Phase::kFailed) return Activity::kFailed;
    if (input.phase == Phase::kDone) {
      if (step.digesting[i] == Activity::kNone) start_digest(edge, i);
      pending |= step.digesting[i] == Activity::kPending;
      continue;
    }
    if (!input.step->vertex->inputs.empty() && input.candidates.empty() && !input.output_wanted()) continue;
    pending = true;
    want(edge, input, input.of_output);
  }
  return pending ? Activity::kPending : Activity::kDone;
}

// An edge in phase kKeyed of which somebody wants more keys.
void Loop::dig(EdgeState& edge) {
  if (!is_dug(edge)) {
    if (edge.waits() || edge.step->digests > 0) return;
    Activity inputs = edge.step->vertex->ignore_cache ? Activity::kFailed : dig_inputs(edge);
    if (inputs == Activity::kPending) return;
    Activity contents = inputs == Activity::kDone ? dig_contents(edge) : Activity::kFailed;
    if (contents == Activity::kPending) return;
    if (contents == Activity::kDone) look_up(edge);
    edge.dug = true;
    drop_input_wants(edge);
  }
  tell(edge, edge.of_more_keys);
}

// An edge that found no record by definition: whether it is done with asking its inputs for more keys.
bool Loop::dig_below(EdgeState& edge) {
  if (edge.dug) return true;
  if (!edge.step->vertex->ignore_cache) {
    Activity inputs = dig_inputs(edge);
    if (inputs == Activity::kPending) return false;
    if (inputs == Activity::kDone) look_up(edge);
  }
  edge.dug = true;
  drop_input_wants(edge);
  tell(edge, edge.of_more_keys);
  return true;
}

}  // namespace kiln::solve
