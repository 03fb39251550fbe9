// The table of instructions, and what happens before each: variables are expanded.
#include "frontend/dockerfile/lower/steps.h"

#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/naming.h"

namespace kiln::frontend::dockerfile {
namespace {

struct Table {
  StepContext& at;
  Status operator()(Add& i) { return lower_add(at, i); }
  Status operator()(Arg& i) { return lower_arg(at, i); }
  Status operator()(Cmd& i) { return lower_cmd(at, i); }
  Status operator()(Copy& i) { return lower_copy(at, i); }
  Status operator()(Entrypoint& i) { return lower_entrypoint(at, i); }
  Status operator()(Env& i) { return lower_env(at, i); }
  Status operator()(Expose& i) { return lower_expose(at, i); }
  Status operator()(Healthcheck& i) { return lower_healthcheck(at, i); }
  Status operator()(Label& i) { return lower_label(at, i); }
  Status operator()(Maintainer& i) { return lower_maintainer(at, i); }
  Status operator()(Onbuild& i) { return lower_onbuild(at, i); }
  Status operator()(Run& i) { return lower_run(at, i); }
  Status operator()(Shell& i) { return lower_shell(at, i); }
  Status operator()(StopSignal& i) { return lower_stop_signal(at, i); }
  Status operator()(User& i) { return lower_user(at, i); }
  Status operator()(Volume& i) { return lower_volume(at, i); }
  Status operator()(Workdir& i) { return lower_workdir(at, i); }
};

// An expander over the stage's environment that reports variables nobody defined.
Expander expander(StepContext& at, const WordLexer& lexer, const StateEnvironment& env) {
  return [&at, &lexer, &env](std::string_view word) -> Result<std::string> {
    VariableNames unset;
    auto expanded = lexer.expand(word, env, &unset);
    check_unset(at.ranges(), at.stage.build_args, env, unset, at.lint);
    if (!expanded.ok()) return expanded.status();
    return std::move(expanded->text);
  };
}

}  // namespace

Status lower_step(Lowering& lowering, StageState& stage, Step& step, const Linter& lint, std::stop_token stop) {
  Linter own_lint = lint.with_comments(step.instruction.comments);
  StepContext at{lowering, stage, step, own_lint, stop};
  stage.step_on_build = step.on_build;
  const StateEnvironment env(stage.state.settings().env);
  // The default of an ARG may turn out not to be needed, so ARG expands its own.
  if (!std::holds_alternative<Arg>(step.instruction.body)) {
    KILN_RETURN_IF_ERROR(expand_instruction(step.instruction, expander(at, lowering.lexer(), env)));
  }
  const WordLexer contents('\\', {.ignore_quotes = true});
  KILN_RETURN_IF_ERROR(expand_contents(step.instruction, expander(at, contents, env)));
  return std::visit(Table{at}, step.instruction.body);
}

}  // namespace kiln::frontend::dockerfile
