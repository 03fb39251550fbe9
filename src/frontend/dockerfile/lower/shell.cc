// SHELL: what shell forms are put behind from here on.
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_shell(StepContext& at, Shell& shell) {
  at.stage.image.config.shell = shell.argv;
  add_history(at.stage, "SHELL " + plain_list(shell.argv), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
