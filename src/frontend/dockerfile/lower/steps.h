// One function an instruction: what it does to its stage. The table is in steps.cc.
#pragma once

#include <stop_token>

#include "base/status.h"
#include "frontend/dockerfile/lint.h"
#include "frontend/dockerfile/lower/lowering.h"
#include "frontend/dockerfile/lower/stage.h"

namespace kiln::frontend::dockerfile {

// What a function is given: the stage to change, the step with its variables expanded, the linter
// with the step's own settings.
struct StepContext {
  Lowering& lowering;
  StageState& stage;
  Step& step;
  Linter& lint;
  std::stop_token stop;

  const Instruction& instruction() const { return step.instruction; }
  const Ranges& ranges() const { return step.instruction.ranges; }
};

// Expands variables, then calls the instruction's function. Errors are without ranges.
Status lower_step(Lowering& lowering, StageState& stage, Step& step, const Linter& lint, std::stop_token stop);

Status lower_add(StepContext& at, Add& add);
Status lower_arg(StepContext& at, Arg& arg);
Status lower_cmd(StepContext& at, Cmd& cmd);
Status lower_copy(StepContext& at, Copy& copy);
Status lower_entrypoint(StepContext& at, Entrypoint& entrypoint);
Status lower_env(StepContext& at, Env& env);
Status lower_expose(StepContext& at, Expose& expose);
Status lower_healthcheck(StepContext& at, Healthcheck& healthcheck);
Status lower_label(StepContext& at, Label& label);
Status lower_maintainer(StepContext& at, Maintainer& maintainer);
Status lower_onbuild(StepContext& at, Onbuild& onbuild);
Status lower_run(StepContext& at, Run& run);
Status lower_shell(StepContext& at, Shell& shell);
Status lower_stop_signal(StepContext& at, StopSignal& stop_signal);
Status lower_user(StepContext& at, User& user);
Status lower_volume(StepContext& at, Volume& volume);
Status lower_workdir(StepContext& at, Workdir& workdir);

// The directory and the user that a base image brings along.
Status set_workdir(StageState& stage, const std::string& path);
void set_user(StageState& stage, const std::string& user);

}  // namespace kiln::frontend::dockerfile
