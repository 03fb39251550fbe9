// Which records may be the wanted output. Pure reading of record stores.
#include <algorithm>

#include "solve/internal/loop.h"

namespace kiln::solve {

// The daemon's own cache first, then what the builds that hold the step imported.
std::vector<SourceId> Loop::sources_of(const Step& step) const {
  std::vector<SourceId> out = {kOwn};
  for (auto id : step.jobs.list()) {
    auto job = jobs_.find(id);
    if (job != jobs_.end()) out.insert(out.end(), job->second.imports.begin(), job->second.imports.end());
  }
  return out;
}

std::vector<cache::InputKey> Loop::input_keys(EdgeState& edge, std::size_t input, SourceId source) {
  std::vector<cache::InputKey> out;
  if (!edge.step->content_keys[input].empty()) out.push_back({edge.step->content_keys[input], ""});
  const auto& selector = edge.step->maps.front().inputs[input].selector;
  for (auto& key : input_edge(edge, input).keys_in(source)) out.push_back({std::move(key), selector});
  return out;
}

bool Loop::has_keys(EdgeState& edge, std::size_t input, const std::vector<SourceId>& sources) {
  if (!edge.step->content_keys[input].empty()) return true;
  return std::any_of(sources.begin(), sources.end(),
                     [&from = input_edge(edge, input)](SourceId source) { return from.has_keys_in(source); });
}

// The input's keys that are worth a link: a key that dies with its session is not, when the
// content says the same.
std::vector<cache::InputKey> Loop::lasting_keys(EdgeState& edge, std::size_t input) {
  auto keys = input_keys(edge, input, kOwn);
  const Step& from = *edge.step->inputs[input];
  bool lasting = from.maps.empty() || from.maps.front().lasting;
  if (!lasting && keys.size() > 1 && !edge.step->content_keys[input].empty()) keys.resize(1);
  return keys;
}

void Loop::add_candidates(EdgeState& edge, SourceId source, const cache::KeyId& key) {
  for (auto& record : sources_.at(source).records->records(key)) {
    if (edge.dead_records.contains(record.id)) continue;
    edge.candidates.push_back({source, key, std::move(record)});
  }
}

// Finds the edge's keys in every source, and the records under them. Keys without records count
// too: what is built on top of this output may be found through them.
void Loop::look_up(EdgeState& edge) {
  edge.candidates.clear();
  Step& step = *edge.step;
  if (step.vertex->ignore_cache) return;
  const CacheMap& map = step.maps[edge.map_index];
  if (map.inputs.size() != step.vertex->inputs.size()) return;  // start_mapping has refused it
  std::string out_key = cache::root_key(map.digest, edge.output);
  for (auto source : sources_of(step)) {
    const auto known = static_cast<std::ptrdiff_t>(edge.candidates.size());
    if (step.vertex->inputs.empty()) {
      add_candidates(edge, source, out_key);
      continue;
    }
    std::vector<std::vector<cache::InputKey>> inputs;
    for (std::size_t i = 0; i < step.inputs.size(); ++i) inputs.push_back(input_keys(edge, i, source));
    auto keys = cache::find_keys(*sources_.at(source).records, out_key, inputs);
    for (const auto& key : keys) add_candidates(edge, source, key);
    edge.source_keys[source] = std::move(keys);
    // The newest first, whichever of its keys it was found under: a step that was run again without cache
    // replaces what it gave before.
    std::stable_sort(edge.candidates.begin() + known, edge.candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.record.created > b.record.created; });
  }
}

}  // namespace kiln::solve
