#include "solve/internal/miss.h"

#include "solve/internal/loop.h"

namespace kiln::solve {

// The loop's part: the keys, which only the loop may read.
event::CacheMiss Loop::describe_miss(EdgeState& edge) {
  Step& step = *edge.step;
  event::CacheMiss miss;
  miss.vertex = step.vertex->digest;
  miss.name = step.vertex->name;
  miss.key = step.maps.front().digest;
  miss.ignored = step.vertex->ignore_cache;
  for (const auto& [output, state] : step.edges) miss.lost |= !state->dead_records.empty();
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    event::KeyInput input;
    input.vertex = step.inputs[i]->vertex->digest;
    input.name = step.inputs[i]->vertex->name;
    input.content = step.content_keys[i];
    input.keys = input_edge(edge, i).keys_in(kOwn);
    miss.inputs.push_back(std::move(input));
  }
  return miss;
}

void tell_miss(Step& step, const std::vector<OutputRef>& inputs, event::CacheMiss& miss, RunContext& context) {
  if (!step.maps.front().lasting) return;
  miss.parts = step.op->key_parts();
  for (std::size_t i = 0; i < miss.inputs.size(); ++i) {
    const Step& from = *step.inputs[i];
    if (from.op && from.inputs.empty()) miss.inputs[i].source = from.op->key_parts();
    if (!miss.inputs[i].content.empty())
      miss.inputs[i].files = step.op->key_files(static_cast<int>(i), inputs[i], context);
  }
  step.events->missed(miss);
}

}  // namespace kiln::solve
