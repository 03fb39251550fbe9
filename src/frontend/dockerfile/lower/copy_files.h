// What ADD and COPY have in common.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "frontend/dockerfile/lower/steps.h"
#include "graph/build/state.h"

namespace kiln::frontend::dockerfile {

enum class Verb { kAdd, kCopy };

struct CopyFiles {
  Verb verb = Verb::kCopy;
  SourcesAndDest paths;
  graph::build::State from;  // what local sources are taken from
  bool from_context = true;  // the build context, to which ignore patterns apply
  std::string chown;
  std::string chmod;
  std::string checksum;
  std::vector<std::string> excludes;
  std::optional<bool> keep_git_dir;
  std::optional<bool> unpack;
  bool link = false;
  bool parents = false;
};

// Puts the files on the stage and writes the history. InvalidArgument for flags and sources that do
// not go together.
Status copy_files(StepContext& at, const CopyFiles& copy);

}  // namespace kiln::frontend::dockerfile
