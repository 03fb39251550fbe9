// WORKDIR: where the steps that follow run; makes the directory.
#include "frontend/dockerfile/image_path.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"
#include "frontend/dockerfile/places.h"
#include "graph/build/file.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

Status set_workdir(StageState& stage, const std::string& path) {
  const std::string& os = stage.platform->os;
  auto dir = image_workdir(stage.image.config.working_dir, path, os);
  if (!dir.ok()) return annotate(dir.status(), "normalizing workdir");
  stage.image.config.working_dir = *dir;
  stage.state = stage.state.with_dir(to_slashes(*dir, os));
  return ok();
}

Status lower_workdir(StepContext& at, Workdir& workdir) {
  StageState& stage = at.stage;
  if (!stage.workdir_set && !is_image_absolute(workdir.path, stage.platform->os)) {
    at.lint.report(lint_rules::kWorkdirRelativePath, at.ranges(), lint_text::workdir_relative_path(workdir.path));
  }
  stage.workdir_set = true;
  KILN_RETURN_IF_ERROR(set_workdir(stage, workdir.path));
  const std::string dir = stage.state.settings().dir;
  const bool makes_layer = dir != "/";
  if (makes_layer) {
    gb::MkdirSpec spec{.make_parents = true};
    if (!stage.image.config.user.empty()) spec.owner = gb::Owner::parse(stage.image.config.user);
    if (const auto& epoch = at.lowering.epoch()) {
      spec.created_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(epoch->time_since_epoch()).count();
    }
    const auto& env = stage.state.settings().env;
    const std::string command = shown_command(at.lowering.lexer(), at.instruction().code, StateEnvironment(env));
    gb::Constraints constraints =
        gb::Constraints().on(*stage.platform).at(at.lowering.text(), graph_ranges(at.ranges()));
    constraints.name(prefixed_name(stage, command, at.lowering.request().multi_platform, stage.platform, env));
    gb::FileSteps steps;
    steps.mkdir(dir, 0755, spec);
    stage.state = gb::file(stage.state, steps, constraints);
  }
  add_history(stage, "WORKDIR " + dir, makes_layer ? Layer::kMade : Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
