// From the stages of the file to stages that know each other.
#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/lowering.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/paths.h"
#include "frontend/dockerfile/lower/words.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

// Steps that progress counts.
bool counts(const Instruction& instruction) {
  switch (instruction.keyword()) {
    case Keyword::kAdd:
    case Keyword::kCopy:
    case Keyword::kRun:
    case Keyword::kWorkdir: return true;
    default: return false;
  }
}

}  // namespace

StageState* Lowering::stage_named(std::string_view name) const {
  auto it = by_name_.find(to_lower(name));
  return it == by_name_.end() ? nullptr : it->second;
}

std::vector<std::string> Lowering::stage_names() const {
  std::vector<std::string> out;
  for (const StageState* stage : stages_) {
    if (!stage->name.empty()) out.push_back(stage->name);
  }
  return out;
}

StageState* Lowering::add_stage(std::unique_ptr<StageState> stage) {
  owned_.push_back(std::move(stage));
  return owned_.back().get();
}

void Lowering::register_stage(StageState* stage) {
  stages_.push_back(stage);
  if (auto base = by_name_.find(stage->stage.base); base != by_name_.end()) {
    stage->base = base->second;
    stage->outline = base->second->outline;
  }
  if (!stage->stage.name.empty()) by_name_[to_lower(stage->stage.name)] = stage;
}

StageState* Lowering::unregistered_stage(const std::string& image, const Ranges& ranges) {
  auto stage = std::make_unique<StageState>();
  stage->stage.base = image;
  stage->stage.ranges = ranges;
  stage->unregistered = true;
  return add_stage(std::move(stage));
}

NamedOptions Lowering::context_options(const StageState& stage, const std::optional<Platform>& platform) const {
  NamedOptions out;
  out.platform = platform ? platform : options_.target_platform;
  out.resolve_mode = std::string(gb::resolve_mode_name(request().resolve_mode));
  out.follow_paths = [cell = stage.paths_cell] { return dockerfile::follow_paths(**cell); };
  return out;
}

Status Lowering::make_stages() {
  for (std::size_t i = 0; i < file_.stages.size(); ++i) {
    auto status = make_stage(i);
    if (!status.ok()) return status;
  }
  return ok();
}

Status Lowering::make_stage(std::size_t index) {
  const Stage& given = file_.stages[index];
  Linter lint = lint_->with_comments(given.comments);
  VariableNames unset;
  auto expanded = lexer_->expand(given.base, StateEnvironment(global_args_), &unset);
  check_args_of_from(global_args_, outline_, unset, given.ranges, lint);
  if (!expanded.ok()) return with_ranges(with_word(expanded.status(), given.base), given.ranges);
  if (expanded->text.empty()) {
    return with_ranges(word_fault(given.base, fmt::format("base name ({}) should not be blank", given.base)),
                       given.ranges);
  }
  StageState& stage = *add_stage(std::make_unique<StageState>());
  stage.stage = given;
  stage.stage.base = expanded->text;
  stage.name = given.name;
  stage.outline = outline_;
  auto used = expanded->used;
  if (!given.platform.empty()) KILN_RETURN_IF_ERROR(read_stage_platform(stage, used, lint));
  if (!given.name.empty() && is_context_name(given.name)) {
    KILN_ASSIGN_OR_RETURN(bool replaced, contexts().has_named(given.name, context_options(stage, stage.platform)));
    if (replaced) {
      stage.context_name = given.name;
      register_stage(&stage);
      stage.base = nullptr;
      return ok();
    }
  }
  if (given.name.empty()) stage.name = fmt::format("stage-{}", index);
  register_stage(&stage);
  stage.outline.used_args.insert(used.begin(), used.end());
  stage.step_total = stage.stage.base != "scratch" && stage.base == nullptr ? 1 : 0;
  stage.step_total += static_cast<int>(std::count_if(given.steps.begin(), given.steps.end(), counts));
  stage.ignore_cache = request().ignores_cache(given.name);
  return ok();
}

namespace {

// FROM takes variants as they are written: none for arm, which means v7, and v8 for arm64, which is the usual one.
Platform as_written(Platform platform, std::string_view text) {
  const bool has_variant = std::count(text.begin(), text.end(), '/') == 2;
  if (platform.architecture == "arm" && platform.variant == "v7" && !has_variant) platform.variant.clear();
  if (platform.architecture == "arm64" && platform.variant.empty() && has_variant) platform.variant = "v8";
  return platform;
}

}  // namespace

Status Lowering::read_stage_platform(StageState& stage, Names& used, Linter& lint) {
  const Stage& given = stage.stage;
  const StateEnvironment env(global_args_);
  VariableNames unset;
  auto expanded = lexer_->expand(given.platform, env, &unset);
  check_args_of_from(global_args_, outline_, unset, given.ranges, lint);
  if (!expanded.ok()) {
    return with_ranges(
        with_word(annotate(expanded.status(), "failed to process arguments for platform "), given.platform),
        given.ranges);
  }
  check_platform_flag(given, *expanded, env, lint);
  if (expanded->text.empty()) {
    auto status = word_fault(given.platform, "empty platform value from expression " + given.platform);
    return with_ranges(with_suggestion(status, expanded->unset, global_args_.names()), given.ranges);
  }
  auto platform = Platform::parse(expanded->text);
  if (!platform.ok()) {
    auto status = with_word(with_suggestion(platform.status(), expanded->unset, global_args_.names()), given.platform);
    return with_ranges(annotate(status, "failed to parse platform " + given.platform), given.ranges);
  }
  used.insert(expanded->used.begin(), expanded->used.end());
  stage.platform = as_written(*platform, expanded->text);
  return ok();
}

Result<StageState*> Lowering::find_target() const {
  const std::string& target = request().target;
  if (target.empty()) return stages_.back();
  if (StageState* stage = stage_named(target)) return stage;
  if (auto index = parse_unsigned(target, 10, stages_.size() - 1)) return stages_[*index];
  return invalid(fmt::format("target stage {} could not be found{}", quote(target),
                             suggestion_suffix(target, stage_names(), MatchCase::kSensitive)));
}

// ---- what needs what ----------------------------------------------------------------------

Result<std::vector<StageState*>> Lowering::sources_of(const Instruction& instruction) {
  std::vector<StageState*> out;
  if (const auto* copy = std::get_if<Copy>(&instruction.body); copy != nullptr && !copy->from.empty()) {
    KILN_ASSIGN_OR_RETURN(auto expanded, lexer_->expand_text(copy->from, EnvironmentList()));
    if (expanded != copy->from) {
      return word_fault(
          copy->from,
          "variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
          "scope as a workaround");
    }
    if (auto index = parse_integer(copy->from)) {
      if (*index < 0 || static_cast<std::size_t>(*index) >= stages_.size()) {
        return word_fault(
            copy->from, fmt::format("invalid stage index {}; the file has stages 0 to {}", *index, stages_.size() - 1));
      }
      out.push_back(stages_[static_cast<std::size_t>(*index)]);
    } else if (StageState* stage = stage_named(copy->from)) {
      out.push_back(stage);
    } else {
      out.push_back(unregistered_stage(copy->from, instruction.ranges));
    }
  }
  if (const auto* run = std::get_if<Run>(&instruction.body)) {
    for (const auto& mount : run->mounts) {
      const std::string from = mount.from.empty() ? "scratch" : mount.from;
      StageState* stage = stage_named(from);
      out.push_back(stage != nullptr ? stage : unregistered_stage(from, {}));
    }
  }
  return out;
}

Result<Step> Lowering::make_step(Instruction instruction) {
  KILN_ASSIGN_OR_RETURN(auto sources, sources_of(instruction));
  return Step{std::move(instruction), std::move(sources)};
}

Status Lowering::link_stages() {
  const std::vector<StageState*> of_file = stages_;
  for (StageState* stage : of_file) {
    for (auto& instruction : stage->stage.steps) {
      KILN_ASSIGN_OR_RETURN(Step step, make_step(std::move(instruction)));
      for (StageState* source : step.sources) {
        stage->needs[source] = step.instruction.ranges;
        if (source->unregistered) register_stage(source);
      }
      stage->steps.push_back(std::move(step));
    }
    stage->stage.steps.clear();
  }
  KILN_RETURN_IF_ERROR(check_cycles(stages_));
  if (stages_.size() == 1) stages_.front()->name.clear();
  return ok();
}

std::vector<StageState*> Lowering::reachable(StageState* target) const {
  std::set<StageState*> seen{target};
  std::vector<StageState*> out{target};
  for (std::size_t i = 0; i < out.size(); ++i) {
    auto visit = [&](StageState* stage) {
      if (stage != nullptr && seen.insert(stage).second) out.push_back(stage);
    };
    visit(out[i]->base);
    for (const auto& [source, ranges] : out[i]->needs) visit(source);
  }
  return out;
}

// Triggers of a base image, or of a base stage of this file, run first in this stage. Gives whether
// they need stages that were not needed before.
Result<bool> Lowering::take_triggers(StageState& stage) {
  std::vector<std::string> triggers = stage.image.config.on_build;
  if (stage.base != nullptr && !stage.triggers_taken) {
    for (const Step& step : stage.base->steps) {
      if (const auto* trigger = std::get_if<Onbuild>(&step.instruction.body)) triggers.push_back(trigger->payload);
    }
    stage.triggers_taken = true;
  }
  stage.image.config.on_build.clear();
  std::vector<Step> steps;
  bool more = false;
  for (const auto& trigger : triggers) {
    KILN_ASSIGN_OR_RETURN(Instruction instruction, parse_trigger(trigger, stage.stage.ranges));
    KILN_ASSIGN_OR_RETURN(Step step, make_step(std::move(instruction)));
    step.on_build = true;
    for (StageState* source : step.sources) {
      more = true;
      stage.needs[source] = step.instruction.ranges;
      if (source->unregistered) register_stage(source);
    }
    steps.push_back(std::move(step));
  }
  stage.step_total += static_cast<int>(steps.size());
  stage.steps.insert(stage.steps.begin(), std::make_move_iterator(steps.begin()), std::make_move_iterator(steps.end()));
  return more;
}

}  // namespace kiln::frontend::dockerfile
