// VOLUME: directories that outlive a container.
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_volume(StepContext& at, Volume& volume) {
  for (const auto& path : volume.paths) {
    if (path.empty()) return user_error(Code::kInvalidArgument, "VOLUME specified can not be an empty string");
    at.stage.image.config.volumes.insert(path);
  }
  add_history(at.stage, "VOLUME " + plain_list(volume.paths), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
