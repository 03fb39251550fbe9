// USER: who runs the steps that follow, and the container.
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

void set_user(StageState& stage, const std::string& user) {
  stage.state = stage.state.with_user(user);
  stage.image.config.user = user;
}

Status lower_user(StepContext& at, User& user) {
  set_user(at.stage, user.user);
  add_history(at.stage, "USER " + user.user, Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
