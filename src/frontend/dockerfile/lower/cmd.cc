// CMD: the default command of the image.
#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_cmd(StepContext& at, Cmd& cmd) {
  StageState& stage = at.stage;
  check_once(stage.cmd, at.instruction().name, at.ranges(), at.lint);
  std::vector<std::string> args = cmd.command.argv;
  if (cmd.command.shell_form) {
    if (stage.image.config.shell.empty()) {
      at.lint.report(lint_rules::kJSONArgsRecommended, at.ranges(),
                     lint_text::json_args_recommended(at.instruction().name));
    }
    args = with_shell(stage.image, args);
  }
  stage.image.config.cmd = args;
  stage.image.config.args_escaped = true;
  add_history(stage, "CMD " + quoted_list(args), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
