// Sources of ADD that are not in the build context: git repositories and http files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "graph/build/state.h"

namespace kiln::frontend::dockerfile {

struct RemoteAdd {
  std::string source;    // as expanded
  std::string checksum;  // of ADD --checksum; may be empty
  std::optional<bool> keep_git_dir;
};

bool is_git_source(std::string_view source);
// An http(s) URL that is no git repository.
bool is_http_source(std::string_view source);
// The name that a downloaded file gets.
std::string http_filename(std::string_view url);

// Nothing when the source is a path. InvalidArgument for contradicting flags and URL keys.
std::optional<Result<graph::build::State>> remote_state(const RemoteAdd& add, graph::build::Constraints constraints);

}  // namespace kiln::frontend::dockerfile
