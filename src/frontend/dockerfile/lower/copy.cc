// COPY: files of the build context or of another stage.
#include <fmt/format.h>

#include "base/value.h"
#include "frontend/dockerfile/lower/copy_files.h"
#include "frontend/dockerfile/lower/paths.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_copy(StepContext& at, Copy& copy) {
  StageState* source = at.step.sources.empty() ? nullptr : at.step.sources.front();
  if (source != nullptr && !source->lowered) {
    return word_fault(copy.from,
                      fmt::format("cannot copy from stage {}, it needs to be defined before current stage {}",
                                  quote(copy.from), quote(at.stage.name)));
  }
  CopyFiles files{.paths = copy.paths,
                  .from = source != nullptr ? source->state : at.lowering.build_context(),
                  .from_context = source == nullptr,
                  .chown = copy.chown,
                  .chmod = copy.chmod,
                  .excludes = copy.excludes,
                  .link = copy.link,
                  .parents = copy.parents};
  KILN_RETURN_IF_ERROR(copy_files(at, files));
  auto& used = source != nullptr ? *source->paths : at.stage.context_paths;
  for (const auto& path : copy.paths.sources) used.insert(used_path(path));
  return ok();
}

}  // namespace kiln::frontend::dockerfile
