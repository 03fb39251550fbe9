// ONBUILD: kept for builds that start from this image.
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_onbuild(StepContext& at, Onbuild& onbuild) {
  at.stage.image.config.on_build.push_back(onbuild.payload);
  return ok();
}

}  // namespace kiln::frontend::dockerfile
