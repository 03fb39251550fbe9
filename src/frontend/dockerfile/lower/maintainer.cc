// MAINTAINER: the author, as images once named him.
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_maintainer(StepContext& at, Maintainer& maintainer) {
  at.stage.image.author = maintainer.name;
  add_history(at.stage, "MAINTAINER " + maintainer.name, Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
