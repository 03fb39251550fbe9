// What a build would do, told before it does anything: its stages, its steps and what each needs,
// what the key of each step is made of, which files of the context are wanted.
//
//   KILN_ASSIGN_OR_RETURN(BuildPlan plan, plan_build(bridge, stop));
//   for (std::size_t i : plan.changed_by_file("go.mod").direct) say(plan.steps[i].name);
//
// The plan is read off the graph that a build would be given, so it is as true as the lookups that
// the bridge answers: with a bridge that knows no base images, their triggers and environment are
// missing from it. Plain data; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "frontend/bridge.h"

namespace kiln::frontend::dockerfile {

enum class StepKind { kImage, kContext, kRemote, kRun, kCopy, kFile, kMerge };
std::string_view step_kind_name(StepKind kind);

// A file of the context that a step reads: a path or pattern, and what is left out below it.
struct ContextUse {
  std::string pattern;  // relative; "" is the whole context
  std::vector<std::string> excludes;
};

struct PlanStep {
  std::string digest;  // of the vertex
  std::string name;    // as progress shows it
  StepKind kind = StepKind::kRun;
  int line = 0;                         // in the build file; 0: a step of the frontend's own
  std::optional<std::size_t> stage;     // absent: shared by stages (the context)
  std::vector<std::size_t> inputs;      // steps, all earlier ones
  std::vector<std::string> keys;        // what the cache key is made of, in words
  std::vector<ContextUse> reads;        // of the build context
  std::vector<std::size_t> by_content;  // inputs that count by the files taken of them, not by how they were made
  std::size_t wave = 0;                 // how many steps must have ended one after another before it can start
};

struct PlanStage {
  std::string name;  // "" in the file of one stage
  std::string base;  // as the graph has it
  int line = 0;
  bool needed = false;  // by the target
  bool target = false;
  std::vector<std::size_t> steps;
};

// Steps that run again: those that a change concerns itself, and those behind them. `unless_same`
// are among the latter and are spared when what they take comes out as before.
struct Affected {
  std::vector<std::size_t> direct;
  std::vector<std::size_t> behind;
  std::vector<std::size_t> unless_same;
};

struct BuildPlan {
  std::string filename;
  std::vector<PlanStage> stages;
  std::vector<PlanStep> steps;               // inputs before users
  std::vector<std::string> follow_paths;     // of the context that are wanted; empty: all
  std::vector<std::string> ignore_patterns;  // of the ignore file
  bool uses_context = false;

  // How many steps can at most run at once, and the longest chain.
  std::size_t widest() const;
  std::vector<std::size_t> longest_chain() const;
  // A changed file of the context; `path` is relative.
  Affected changed_by_file(std::string_view path) const;
  // Against the plan of the same file with another input: steps that are no longer the same.
  Affected changed_to(const BuildPlan& other) const;
};

// The graph alone, as the build would solve it.
Result<graph::Definition> lower_build(Bridge& bridge, std::stop_token stop);

// Plans the target and platform of the bridge's options (the first platform when there are several).
// Errors as a build's, with places. Blocks as the bridge does.
Result<BuildPlan> plan_build(Bridge& bridge, std::stop_token stop);

}  // namespace kiln::frontend::dockerfile
