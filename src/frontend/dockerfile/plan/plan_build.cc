// Reads a plan off the graph of a lowered build file.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/gopath.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/build_run.h"
#include "frontend/dockerfile/plan/plan.h"
#include "graph/attributes.h"
#include "graph/vertex.h"

namespace kiln::frontend::dockerfile {
namespace {

std::vector<std::string> string_list(const graph::SourceOp& source, const char* attribute) {
  std::vector<std::string> out;
  auto it = source.attrs.find(attribute);
  if (it == source.attrs.end()) return out;
  auto json = nlohmann::json::parse(it->second, nullptr, false);
  if (!json.is_array()) return out;
  for (const auto& item : json) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

std::string relative(std::string_view path) {
  std::string clean = clean_path(path);
  if (clean.starts_with('/')) clean.erase(0, 1);
  return clean == "." ? "" : clean;
}

// What an op is and what its key is made of, without its inputs.
class OpReader {
 public:
  OpReader(const graph::Vertex& vertex, PlanStep& step, const std::vector<bool>& input_is_context,
           const std::string& context)
      : vertex_(vertex), step_(step), input_is_context_(input_is_context), context_(context) {}

  // Inputs of which only files are taken; the others must be the very same tree.
  std::vector<std::size_t> content_inputs() const {
    std::vector<std::size_t> out;
    for (std::size_t input = 0; input < input_is_context_.size(); ++input) {
      if (taken_.contains(input) && !stood_on_.contains(input)) out.push_back(input);
    }
    return out;
  }

  void operator()(const std::monostate&) {}
  void operator()(const graph::BuildOp&) { step_.kind = StepKind::kRemote; }
  void operator()(const graph::DiffOp&) { step_.kind = StepKind::kMerge; }
  void operator()(const graph::PassthroughOp&) { step_.kind = StepKind::kMerge; }
  void operator()(const graph::MergeOp&) {
    step_.kind = StepKind::kMerge;
    key("the layers that are put one upon the other");
  }

  void operator()(const graph::SourceOp& source) {
    if (source.identifier.starts_with("local://")) {
      step_.kind = source.identifier == context_ ? StepKind::kContext : StepKind::kRemote;
      key("names, modes and contents of the wanted files");
      return;
    }
    const bool image =
        source.identifier.starts_with("docker-image://") || source.identifier.starts_with("oci-layout://");
    step_.kind = image ? StepKind::kImage : StepKind::kRemote;
    key(source.identifier);
    if (image && vertex_.op.platform) key("platform " + vertex_.op.platform->str_full());
    for (const auto& [name, value] : source.attrs) key(fmt::format("{} {}", name, value));
  }

  void operator()(const graph::ExecOp& exec) {
    step_.kind = StepKind::kRun;
    key("command " + join(exec.meta.args, " "));
    for (const std::string& entry : exec.meta.env) key("environment " + entry);
    if (!exec.meta.cwd.empty() && exec.meta.cwd != "/") key("directory " + exec.meta.cwd);
    if (!exec.meta.user.empty()) key("user " + exec.meta.user);
    if (exec.network != graph::NetMode::kSandbox)
      key(exec.network == graph::NetMode::kHost ? "network host" : "network none");
    if (exec.security == graph::SecurityMode::kInsecure) key("security insecure");
    for (const auto& mount : exec.mounts) read_mount(mount);
  }

  void operator()(const graph::FileOp& file) {
    step_.kind = StepKind::kFile;
    for (const auto& action : file.actions) {
      action_ = &action;
      note(stood_on_, action.input);
      std::visit([this](const auto& what) { (*this)(what); }, action.action);
    }
  }

  void operator()(const graph::CopyAction& copy) {
    step_.kind = StepKind::kCopy;
    key(fmt::format("copy of {} to {}{}", quote(copy.src), quote(copy.dest), mode_text(copy.mode, copy.mode_str)));
    for (const auto& pattern : copy.include_patterns) key("only " + pattern);
    for (const auto& pattern : copy.exclude_patterns) key("without " + pattern);
    note(taken_, action_->secondary_input);
    if (!from_context(action_->secondary_input)) return;
    if (copy.include_patterns.empty()) {
      step_.reads.push_back({relative(copy.src), copy.exclude_patterns});
      return;
    }
    for (const auto& pattern : copy.include_patterns) {
      step_.reads.push_back({relative(join_path(copy.src, pattern)), copy.exclude_patterns});
    }
  }
  void operator()(const graph::MkfileAction& file) {
    key(fmt::format("file {} of {} bytes, {}", quote(file.path), file.data.size(),
                    Digest::of(file.data).str().substr(0, 19)));
  }
  void operator()(const graph::MkdirAction& dir) { key("directory " + dir.path); }
  void operator()(const graph::RmAction& rm) { key("removal of " + rm.path); }
  void operator()(const graph::SymlinkAction& link) { key(fmt::format("link {} to {}", link.new_path, link.old_path)); }

 private:
  void key(std::string words) { step_.keys.push_back(std::move(words)); }

  static std::string mode_text(std::int32_t mode, const std::string& symbolic) {
    if (!symbolic.empty()) return ", mode " + symbolic;
    return mode >= 0 ? fmt::format(", mode {:04o}", mode) : "";
  }

  bool from_context(std::int64_t input) const {
    return input >= 0 && static_cast<std::size_t>(input) < input_is_context_.size() &&
           input_is_context_[static_cast<std::size_t>(input)];
  }

  static void note(std::set<std::size_t>& inputs, std::int64_t input) {
    if (input >= 0) inputs.insert(static_cast<std::size_t>(input));
  }

  void read_mount(const graph::Mount& mount) {
    const bool root = mount.dest == graph::kRootMount;
    note(root || !mount.readonly ? stood_on_ : taken_, mount.input);
    if (root) return;
    switch (mount.type) {
      case graph::MountType::kSecret: key("secret at " + mount.dest + " (its value is not part of the key)"); return;
      case graph::MountType::kSsh: key("ssh agent at " + mount.dest); return;
      case graph::MountType::kTmpfs: key("empty memory at " + mount.dest); return;
      case graph::MountType::kCache:
        key("cache directory at " + mount.dest + " (its content is not part of the key)");
        return;
      case graph::MountType::kBind: break;
    }
    key(fmt::format("files at {}{}", mount.dest, mount.selector.empty() ? "" : " from " + mount.selector));
    if (from_context(mount.input)) step_.reads.push_back({relative(mount.selector), {}});
  }

  const graph::Vertex& vertex_;
  PlanStep& step_;
  const std::vector<bool>& input_is_context_;
  const std::string& context_;
  const graph::FileAction* action_ = nullptr;
  std::set<std::size_t> stood_on_, taken_;
};

// Turns vertices into steps.
class PlanMaker {
 public:
  // `context` is the identifier of the main context's source.
  PlanMaker(const graph::Graph& graph, std::string context, BuildPlan& plan)
      : graph_(graph), context_(std::move(context)), plan_(plan) {}

  void make() {
    for (const auto& vertex : graph_.vertices) add(*vertex);
  }

 private:
  void add(const graph::Vertex& vertex) {
    const std::size_t index = plan_.steps.size();
    PlanStep step{.digest = vertex.op_digest.str(), .name = vertex.name};
    std::vector<bool> contexts;
    for (const auto& input : vertex.inputs) {
      const std::size_t at = index_.at(input.vertex->digest);
      contexts.push_back(plan_.steps[at].kind == StepKind::kContext);
      if (std::find(step.inputs.begin(), step.inputs.end(), at) == step.inputs.end()) step.inputs.push_back(at);
      step.wave = std::max(step.wave, plan_.steps[at].wave + 1);
    }
    OpReader reader(vertex, step, contexts, context_);
    std::visit([&](const auto& op) { reader(op); }, vertex.op.kind);
    for (std::size_t input : reader.content_inputs())
      step.by_content.push_back(index_.at(vertex.inputs[input].vertex->digest));
    place(step);
    if (const auto* source = std::get_if<graph::SourceOp>(&vertex.op.kind); step.kind == StepKind::kContext) {
      plan_.uses_context = true;
      plan_.follow_paths = string_list(*source, graph::kAttrLocalFollowPaths);
      plan_.ignore_patterns = string_list(*source, graph::kAttrLocalExcludePatterns);
    }
    if (step.stage) plan_.stages[*step.stage].steps.push_back(index);
    index_[vertex.digest] = index;
    plan_.steps.push_back(std::move(step));
  }

  // The stage that a step's line stands in.
  void place(PlanStep& step) const {
    if (!graph_.source) return;
    auto locations = graph_.source->locations.find(step.digest);
    if (locations == graph_.source->locations.end() || locations->second.empty()) return;
    const auto& ranges = locations->second.front().ranges;
    if (ranges.empty()) return;
    step.line = ranges.front().start.line;
    for (std::size_t i = 0; i < plan_.stages.size(); ++i) {
      if (plan_.stages[i].line <= step.line) step.stage = i;
    }
  }

  const graph::Graph& graph_;
  const std::string context_;
  BuildPlan& plan_;
  std::map<Digest, std::size_t> index_;
};

LowerOptions options_of(BuildRun& run) {
  std::optional<Platform> platform;
  if (!run.request.target_platforms.empty()) platform = run.request.target_platforms.front();
  return run.lower_options(platform, nullptr);
}

Status start(BuildRun& run, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(run.request, read_request(run.bridge.options()));
  run.contexts = std::make_unique<Contexts>(run.bridge, run.request);
  KILN_ASSIGN_OR_RETURN(run.build_file, run.contexts->build_file(stop));
  return ok();
}

Result<graph::Definition> lower_file(BuildRun& run, std::stop_token stop) {
  Lowering lowering(options_of(run));
  KILN_ASSIGN_OR_RETURN(StageState * target, lowering.run(stop));
  return graph::build::marshal(target->state, lowering.marshal_options());
}

Result<BuildPlan> plan_run(BuildRun& run, std::stop_token stop) {
  Lowering lowering(options_of(run));
  KILN_ASSIGN_OR_RETURN(StageState * target, lowering.run(stop));
  KILN_ASSIGN_OR_RETURN(auto definition, graph::build::marshal(target->state, lowering.marshal_options()));
  KILN_ASSIGN_OR_RETURN(graph::Graph graph, graph::load(definition));
  BuildPlan plan;
  plan.filename = run.build_file.text->filename;
  std::set<int> needed;
  for (const StageState* stage : lowering.reachable(target)) {
    if (!stage->unregistered && !stage->stage.ranges.empty()) needed.insert(stage->stage.ranges.front().start.line);
  }
  for (const Stage& stage : lowering.stages_of_file()) {
    const int line = stage.ranges.empty() ? 0 : stage.ranges.front().start.line;
    const bool is_target = !target->stage.ranges.empty() && target->stage.ranges.front().start.line == line;
    plan.stages.push_back({stage.name, stage.base, line, needed.contains(line), is_target, {}});
  }
  const std::string& context = run.request.opt("contextkey");
  PlanMaker(graph, "local://" + (context.empty() ? "context" : context), plan).make();
  return plan;
}

}  // namespace

Result<graph::Definition> lower_build(Bridge& bridge, std::stop_token stop) {
  BuildRun run(bridge);
  KILN_RETURN_IF_ERROR(start(run, stop));
  auto definition = lower_file(run, stop);
  if (!definition.ok()) return with_source_details(definition.status(), run.build_file.text);
  return definition;
}

Result<BuildPlan> plan_build(Bridge& bridge, std::stop_token stop) {
  BuildRun run(bridge);
  KILN_RETURN_IF_ERROR(start(run, stop));
  auto plan = plan_run(run, stop);
  if (!plan.ok()) return with_source_details(plan.status(), run.build_file.text);
  return plan;
}

}  // namespace kiln::frontend::dockerfile
