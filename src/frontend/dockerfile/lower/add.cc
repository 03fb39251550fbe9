// ADD: files of the build context, archives unpacked, git repositories, http files.
#include "frontend/dockerfile/lower/copy_files.h"
#include "frontend/dockerfile/lower/paths.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_add(StepContext& at, Add& add) {
  CopyFiles copy{.verb = Verb::kAdd,
                 .paths = add.paths,
                 .from = at.lowering.build_context(),
                 .chown = add.chown,
                 .chmod = add.chmod,
                 .checksum = add.checksum,
                 .excludes = add.excludes,
                 .keep_git_dir = add.keep_git_dir,
                 .unpack = add.unpack,
                 .link = add.link};
  KILN_RETURN_IF_ERROR(copy_files(at, copy));
  for (const auto& source : add.paths.sources) {
    if (source.starts_with("http://") || source.starts_with("https://")) continue;
    at.stage.context_paths.insert(used_path(source));
  }
  return ok();
}

}  // namespace kiln::frontend::dockerfile
