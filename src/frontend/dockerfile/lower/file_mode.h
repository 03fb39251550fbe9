// --chmod: "0755" or "u=rwX,go=rX".
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace kiln::frontend::dockerfile {

struct FileMode {
  std::int32_t octal = 0;
  std::string text;  // set for the symbolic form
};

// InvalidArgument for what is neither.
Result<FileMode> parse_file_mode(std::string_view text);

}  // namespace kiln::frontend::dockerfile
