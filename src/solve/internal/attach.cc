// Steps come into being when a build loads a graph, and are shared by digest.
#include "solve/internal/loop.h"

namespace kiln::solve {

// Loads the vertex and everything below it, inputs first, without recursion: graphs are deep.
std::shared_ptr<Step> Loop::load(JobState& job, const std::shared_ptr<const Vertex>& vertex) {
  std::vector<std::pair<const std::shared_ptr<const Vertex>*, std::size_t>> stack = {{&vertex, 0}};
  while (!stack.empty()) {
    auto& [at, next] = stack.back();
    const Vertex& v = **at;
    if (auto it = steps_.find(v.digest); it != steps_.end() && it->second->jobs.contains(job.id)) {
      stack.pop_back();
      continue;
    }
    while (next < v.inputs.size() && !v.inputs[next].vertex) ++next;
    if (next < v.inputs.size()) {
      const auto* input = &v.inputs[next++].vertex;
      stack.emplace_back(input, 0);
      continue;
    }
    attach(job, *at);
    stack.pop_back();
  }
  return steps_.at(vertex->digest);
}

std::shared_ptr<Step> Loop::attach(JobState& job, const std::shared_ptr<const Vertex>& vertex) {
  auto& slot = steps_[vertex->digest];
  if (!slot) {
    slot = std::make_shared<Step>();
    slot->vertex = vertex;
    slot->events = std::make_shared<StepEvents>(*vertex);
    slot->digesting.assign(vertex->inputs.size(), Activity::kNone);
    slot->content_keys.assign(vertex->inputs.size(), "");
    slot->digested.assign(vertex->inputs.size(), 0);
    for (const auto& input : vertex->inputs) {
      slot->inputs.push_back(input.vertex ? steps_.at(input.vertex->digest) : nullptr);
    }
    live_steps_ = steps_.size();
  }
  slot->jobs.insert(job.id);
  slot->serving.insert(job.id);
  if (slot->leader) slot->leader->serving.insert(job.id);
  slot->events->add(job.events);
  job.steps.push_back(slot);
  forget_failure(*slot);
  return slot;
}

// A build that comes later tries again what failed before and nobody is waiting for.
void Loop::forget_failure(Step& step) {
  if (step.wanted() || step.tasks > 0) return;
  bool failed = false;
  for (auto& [output, edge] : step.edges) {
    if (edge->phase != Phase::kFailed) continue;
    failed = true;
    edge->phase = Phase::kIdle;
    edge->error = ok();
    edge->common_keys.clear();
    edge->source_keys.clear();
    edge->candidates.clear();
    edge->solve_all = false;
  }
  if (!failed) return;
  if (step.mapping == Activity::kFailed) step.mapping = Activity::kNone;
  if (step.running == Activity::kFailed) step.running = Activity::kNone;
  for (auto& digesting : step.digesting) {
    if (digesting == Activity::kFailed) digesting = Activity::kNone;
  }
}

}  // namespace kiln::solve
