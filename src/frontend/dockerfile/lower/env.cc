// ENV: variables of the image and of the steps that follow.
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

#include "base/text.h"

namespace kiln::frontend::dockerfile {
namespace {

void set_entry(std::vector<std::string>& env, const std::string& key, const std::string& value) {
  for (auto& entry : env) {
    if (split_once(entry, '=').first != key) continue;
    entry = key + "=" + value;
    return;
  }
  env.push_back(key + "=" + value);
}

}  // namespace

Status lower_env(StepContext& at, Env& env) {
  StageState& stage = at.stage;
  std::string shown = "ENV";
  for (const KeyValue& entry : env.entries) {
    if (entry.legacy) {
      at.lint.report(lint_rules::kLegacyKeyValueFormat, at.ranges(),
                     lint_text::legacy_key_value_format(at.instruction().name));
    }
    if (looks_like_secret(entry.key)) {
      at.lint.report(lint_rules::kSecretsUsedInArgOrEnv, at.ranges(),
                     lint_text::secrets_used_in_arg_or_env("ENV", entry.key));
    }
    shown += " " + entry.key + "=" + entry.value;
    stage.state = stage.state.with_env(entry.key, entry.value);
    set_entry(stage.image.config.env, entry.key, entry.value);
  }
  add_history(stage, std::move(shown), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
