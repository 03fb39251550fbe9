// ENTRYPOINT: what the image runs. An inherited CMD was meant for another one and goes.
#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_entrypoint(StepContext& at, Entrypoint& entrypoint) {
  StageState& stage = at.stage;
  check_once(stage.entrypoint, at.instruction().name, at.ranges(), at.lint);
  std::vector<std::string> args = entrypoint.command.argv;
  if (entrypoint.command.shell_form) {
    if (stage.image.config.shell.empty()) {
      at.lint.report(lint_rules::kJSONArgsRecommended, at.ranges(),
                     lint_text::json_args_recommended(at.instruction().name));
    }
    args = with_shell(stage.image, args);
  }
  stage.image.config.entrypoint = args;
  if (!stage.cmd.set) stage.image.config.cmd.clear();
  add_history(stage, "ENTRYPOINT " + quoted_list(args), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
