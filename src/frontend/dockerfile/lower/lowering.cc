#include "frontend/dockerfile/lower/lowering.h"

#include <fmt/format.h>

#include "base/gopath.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/image_path.h"
#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/epoch.h"
#include "frontend/dockerfile/lower/global_args.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/paths.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

Lowering::Lowering(LowerOptions options)
    : options_(std::move(options)), context_cell_(std::make_shared<std::optional<gb::State>>()) {
  build_args_ = request().build_args;
  build_platforms_ = request().build_platforms;
  implicit_target_ = !options_.target_platform.has_value();
  target_platform_ = implicit_target_ ? build_platforms_.front() : *options_.target_platform;
  proxy_ = proxy_from(build_args_);
  build_context_ = gb::deferred([cell = context_cell_] { return cell->value_or(gb::scratch()); });
}

gb::MarshalOptions Lowering::marshal_options() const { return {.platform = target_platform_, .caps = &caps()}; }

Result<StageState*> Lowering::run(std::stop_token stop) {
  KILN_RETURN_IF_ERROR(read_text());
  KILN_RETURN_IF_ERROR(set_epoch(stop));
  KILN_RETURN_IF_ERROR(make_stages());
  KILN_ASSIGN_OR_RETURN(StageState * target, find_target());
  KILN_RETURN_IF_ERROR(link_stages());
  KILN_ASSIGN_OR_RETURN(auto reached, resolve_stages(target, stop));
  KILN_RETURN_IF_ERROR(lower_stages(reached, stop));
  target->paths->insert("/");  // all of the target is used
  KILN_RETURN_IF_ERROR(finish(*target, stop));
  return target;
}

Status Lowering::read_text() {
  const std::string& text = options_.text->data;
  if (text.empty()) return user_error(Code::kInvalidArgument, "the Dockerfile cannot be empty");
  std::optional<std::string_view> arg;
  if (request().lint_arg) arg = *request().lint_arg;
  auto lint = lint_options_for(text, arg);
  if (!lint.ok()) return annotate(lint.status(), "failed to parse check options");
  lint_ = std::make_unique<Linter>(*std::move(lint), options_.warn);
  KILN_ASSIGN_OR_RETURN(file_, parse_dockerfile(text, *lint_));
  if (file_.stages.empty()) return user_error(Code::kInvalidArgument, "dockerfile contains no stages to build");
  lexer_ = std::make_unique<WordLexer>(file_.escape);
  const std::string target_stage = request().target.empty() ? file_.stages.back().name : request().target;
  gb::EnvList given = platform_args(build_platforms_.front(), target_platform_, build_args_, target_stage);
  check_default_bases(file_.stages, *lexer_, given, file_.meta_args, *lint_);
  KILN_ASSIGN_OR_RETURN(auto args, read_global_args(given, *lexer_, file_.meta_args, build_args_));
  global_args_ = std::move(args.env);
  outline_.args = std::move(args.infos);
  return ok();
}

Status Lowering::set_epoch(std::stop_token stop) {
  constexpr const char* kName = "SOURCE_DATE_EPOCH";
  auto given = build_args_.find(kName);
  std::optional<std::string> value =
      given != build_args_.end() ? std::optional(given->second) : global_args_.get(kName);
  if (!value || (given == build_args_.end() && value->empty())) return ok();
  KILN_ASSIGN_OR_RETURN(epoch_, resolve_epoch(*this, *value, stop));
  if (epoch_) {
    const std::string seconds =
        std::to_string(std::chrono::duration_cast<std::chrono::seconds>(epoch_->time_since_epoch()).count());
    if (given != build_args_.end()) given->second = seconds;
    if (global_args_.get(kName)) global_args_.set(kName, seconds);
  } else {
    build_args_.erase(kName);
    global_args_.unset(kName);
  }
  return ok();
}

Status Lowering::read_ignore_patterns(std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto patterns, contexts().ignore_patterns(stop));
  if (patterns.empty()) return ok();
  KILN_ASSIGN_OR_RETURN(ignored_, PatternMatcher::make(patterns));
  return ok();
}

Status Lowering::lower_stages(const std::vector<StageState*>& reached, std::stop_token stop) {
  KILN_RETURN_IF_ERROR(read_ignore_patterns(stop));
  const std::set<StageState*> wanted(reached.begin(), reached.end());
  for (StageState* stage : stages_) {
    const bool all = options_.reach == Reach::kAllStages;
    if (!all && (!wanted.contains(stage) || stage->lowered)) continue;
    KILN_RETURN_IF_ERROR(lower_stage(*stage, stop));
  }
  return ok();
}

// Takes over what the base stage has become.
void inherit(StageState& stage) {
  if (stage.base == nullptr) return;
  const StageState& base = *stage.base;
  stage.state = base.state;
  stage.platform = base.platform;
  stage.image = base.image;
  stage.image.config.on_build.clear();
  stage.base_image = base.base_image;
  stage.paths = base.paths;
  *stage.paths_cell = stage.paths;
  stage.workdir_set = base.workdir_set;
  stage.build_args.insert(stage.build_args.end(), base.build_args.begin(), base.build_args.end());
}

Status Lowering::lower_stage(StageState& stage, std::stop_token stop) {
  inherit(stage);
  stage.lowered = true;
  auto started = start_stage(stage);
  if (!started.ok()) return with_ranges(started, stage.stage.ranges);
  for (Step& step : stage.steps) {
    if (stop.stop_requested()) return cancelled();
    auto status = lower_step(*this, stage, step, *lint_, stop);
    if (!status.ok()) return with_ranges(status, step.instruction.ranges);
  }
  note_scans(stage);
  return ok();
}

Status Lowering::start_stage(StageState& stage) {
  if (!stage.platform) stage.platform = target_platform_;
  auto& config = stage.image.config;
  const auto names =
      stage.platform->os == "windows" ? EnvironmentList::Names::kIgnoreCase : EnvironmentList::Names::kExact;
  if (stage.platform->os != "windows" && !EnvironmentList::from(config.env, names).get("PATH")) {
    config.env.push_back("PATH=" + default_path_env(stage.platform->os));
  }
  for (const auto& entry : config.env) {
    auto [name, value] = split_once(entry, '=');
    stage.state = stage.state.with_env(name, value);
  }
  if (!request().hostname.empty()) stage.state = stage.state.with_hostname(request().hostname);
  if (!config.working_dir.empty()) KILN_RETURN_IF_ERROR(set_workdir(stage, config.working_dir));
  if (!config.user.empty()) set_user(stage, config.user);
  stage.state = stage.state.with_network(request().network);
  return ok();
}

namespace {

bool enabled_for(const std::string& stage, const std::string& value) {
  if (auto flag = parse_bool(value)) return *flag;
  for (std::string_view name : split(value, ',')) {
    if (name == stage) return true;
  }
  return false;
}

}  // namespace

void Lowering::note_scans(StageState& stage) {
  auto asked = [&](const char* name) {
    bool yes = false;
    if (auto value = global_args_.get(name)) yes = enabled_for(stage.name, *value);
    for (const auto& arg : stage.build_args) {
      if (arg.key == name && arg.value) yes = enabled_for(stage.name, *arg.value);
    }
    return yes;
  };
  if (asked("BUILDKIT_SBOM_SCAN_CONTEXT")) stage.scan_context = true;
  if (asked("BUILDKIT_SBOM_SCAN_STAGE")) stage.scan_stage = true;
}

Status Lowering::finish(StageState& target, std::stop_token stop) {
  for (const auto& [key, value] : request().labels) target.image.config.labels[key] = value;
  KILN_RETURN_IF_ERROR(lint_->verdict());
  std::set<std::string> used;
  for (const StageState* stage : stages_) used.insert(stage->context_paths.begin(), stage->context_paths.end());
  KILN_ASSIGN_OR_RETURN(gb::State context, contexts().main(follow_paths(used), stop));
  *context_cell_ = std::move(context);
  Platform& platform = target.image.platform;
  if (!implicit_target_) {
    const bool same = platform.os == target_platform_.os && platform.architecture == target_platform_.architecture;
    platform.os = target_platform_.os;
    platform.architecture = target_platform_.architecture;
    if (!same || !target_platform_.variant.empty()) platform.variant = target_platform_.variant;
    if (!same || !target_platform_.os_version.empty()) platform.os_version = target_platform_.os_version;
    if (!target_platform_.os_features.empty()) platform.os_features = target_platform_.os_features;
  }
  if (platform.os.empty()) platform.os = "linux";
  platform = platform.normalized();
  return ok();
}

}  // namespace kiln::frontend::dockerfile
