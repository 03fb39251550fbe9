// Questions to a plan that is there.
#include <algorithm>
#include <map>

#include "base/gopath.h"
#include "base/patterns.h"
#include "frontend/dockerfile/plan/plan.h"

namespace kiln::frontend::dockerfile {
namespace {

// Everything behind the given steps, in order.
Affected with_those_behind(const std::vector<PlanStep>& steps, std::vector<std::size_t> direct) {
  Affected out{std::move(direct), {}, {}};
  std::vector<bool> changed(steps.size()), softly(steps.size());
  for (std::size_t i : out.direct) changed[i] = true;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (changed[i]) continue;
    bool soft = true;
    for (std::size_t input : steps[i].inputs) {
      if (!changed[input]) continue;
      changed[i] = true;
      const auto& taken = steps[i].by_content;
      soft &= softly[input] || std::find(taken.begin(), taken.end(), input) != taken.end();
    }
    if (!changed[i]) continue;
    out.behind.push_back(i);
    softly[i] = soft;
    if (soft) out.unless_same.push_back(i);
  }
  return out;
}

bool reads_path(const ContextUse& use, const std::string& path) {
  if (!use.excludes.empty()) {
    auto excluded = PatternMatcher::make(use.excludes);
    if (excluded.ok() && excluded->matches_or_parent(path)) return false;
  }
  if (use.pattern.empty() || use.pattern == ".") return true;
  auto wanted = PatternMatcher::make({use.pattern});
  // A changed directory concerns those who read something in it.
  return (wanted.ok() && wanted->matches_or_parent(path)) || path_within(path, use.pattern);
}

}  // namespace

std::string_view step_kind_name(StepKind kind) {
  static constexpr std::string_view kNames[] = {"image", "context", "remote", "run", "copy", "file", "merge"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::size_t BuildPlan::widest() const {
  std::map<std::size_t, std::size_t> waves;
  std::size_t most = 0;
  for (const PlanStep& step : steps) most = std::max(most, ++waves[step.wave]);
  return most;
}

std::vector<std::size_t> BuildPlan::longest_chain() const {
  std::vector<std::size_t> out;
  if (steps.empty()) return out;
  auto longer = [](const PlanStep& a, const PlanStep& b) { return a.wave < b.wave; };
  auto at = static_cast<std::size_t>(std::max_element(steps.begin(), steps.end(), longer) - steps.begin());
  out.push_back(at);
  while (!steps[at].inputs.empty()) {
    const auto& inputs = steps[at].inputs;
    at = *std::max_element(inputs.begin(), inputs.end(),
                           [&](std::size_t a, std::size_t b) { return longer(steps[a], steps[b]); });
    out.push_back(at);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

Affected BuildPlan::changed_by_file(std::string_view path) const {
  const std::string clean = clean_path(path);
  std::vector<std::size_t> direct;
  auto ignored = PatternMatcher::make(ignore_patterns);
  if (ignored.ok() && ignored->matches_or_parent(clean)) return {};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& reads = steps[i].reads;
    if (std::any_of(reads.begin(), reads.end(), [&](const ContextUse& use) { return reads_path(use, clean); }))
      direct.push_back(i);
  }
  return with_those_behind(steps, std::move(direct));
}

Affected BuildPlan::changed_to(const BuildPlan& other) const {
  // Steps of the same place in the file, in order of appearance, are the same step.
  std::map<std::pair<int, StepKind>, std::vector<const PlanStep*>> theirs;
  for (const PlanStep& step : other.steps) theirs[{step.line, step.kind}].push_back(&step);
  std::map<std::pair<int, StepKind>, std::size_t> seen;
  std::vector<bool> changed(steps.size());
  std::vector<std::size_t> direct;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& twins = theirs[{steps[i].line, steps[i].kind}];
    const std::size_t nth = seen[{steps[i].line, steps[i].kind}]++;
    changed[i] = nth >= twins.size() || twins[nth]->digest != steps[i].digest;
    if (!changed[i]) continue;
    const bool own = nth >= twins.size() || twins[nth]->keys != steps[i].keys;
    const bool input_changed =
        std::any_of(steps[i].inputs.begin(), steps[i].inputs.end(), [&](std::size_t input) { return changed[input]; });
    if (own || !input_changed) direct.push_back(i);
  }
  return with_those_behind(steps, std::move(direct));
}

}  // namespace kiln::frontend::dockerfile
