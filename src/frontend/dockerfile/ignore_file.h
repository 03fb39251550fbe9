// The lines of a .dockerignore as patterns.
//
//   KILN_ASSIGN_OR_RETURN(auto patterns, parse_ignore_file(text));
//
// Comments and empty lines vanish, paths are cleaned and made relative, `!` stays in front.
// Reference: Dockerfile reference, section ".dockerignore files".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::frontend::dockerfile {

// InvalidArgument for a line of 64 KiB or more.
Result<std::vector<std::string>> parse_ignore_file(std::string_view text);

}  // namespace kiln::frontend::dockerfile
