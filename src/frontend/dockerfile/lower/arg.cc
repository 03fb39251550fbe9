// ARG: a variable for the rest of the stage, which the client may set.
#include "base/text.h"
#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {
namespace {

enum class Origin { kOwn, kGlobal };

// The value in force: the client's, else that of a global ARG of the name (when this one has no
// default), else the default.
Result<Origin> set_value(StepContext& at, ArgEntry& entry) {
  const auto& given = at.lowering.build_args();
  if (auto value = given.find(entry.key); value != given.end()) {
    entry.value = value->second;
    return Origin::kOwn;
  }
  if (!entry.value) {
    auto global = at.lowering.global_args().get(entry.key);
    if (!global) return Origin::kOwn;
    entry.value = std::move(global);
    return Origin::kGlobal;
  }
  const StateEnvironment env(at.stage.state.settings().env);
  VariableNames unset;
  auto expansion = at.lowering.lexer().expand(*entry.value, env, &unset);
  check_unset(at.ranges(), at.stage.build_args, env, unset, at.lint);
  if (!expansion.ok()) return expansion.status();
  entry.value = std::move(expansion->text);
  return Origin::kOwn;
}

}  // namespace

Status lower_arg(StepContext& at, Arg& arg) {
  StageState& stage = at.stage;
  std::vector<std::string> shown;
  for (ArgEntry& entry : arg.entries) {
    if (looks_like_secret(entry.key)) {
      at.lint.report(lint_rules::kSecretsUsedInArgOrEnv, at.ranges(),
                     lint_text::secrets_used_in_arg_or_env("ARG", entry.key));
    }
    KILN_ASSIGN_OR_RETURN(Origin origin, set_value(at, entry));
    if (entry.value && !is_build_only_arg(entry.key)) stage.state = stage.state.with_env(entry.key, *entry.value);
    if (origin == Origin::kOwn) {
      stage.outline.args[entry.key] = {.definition = entry, .value = entry.value.value_or(""), .ranges = at.ranges()};
    }
    stage.outline.used_args.insert(entry.key);
    stage.build_args.push_back(entry);
    shown.push_back(entry.value ? entry.key + "=" + *entry.value : entry.key);
  }
  add_history(stage, "ARG " + join(shown, " "), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
