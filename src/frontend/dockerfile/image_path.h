// Paths inside an image, by the rules of its operating system: on windows drive letters and
// backslashes are understood, everywhere else a path is a slash path.
//
//   KILN_ASSIGN_OR_RETURN(auto dest, image_path("/srv", "out/", "linux", Slash::kKeep));  // "/srv/out/"
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace kiln::frontend::dockerfile {

enum class Slash { kDrop, kKeep };  // what becomes of a trailing slash or "/."

// The default PATH of a container.
std::string default_path_env(std::string_view os);
// `path` on `parent`, absolute, with slashes, without drive letter. InvalidArgument for a path on
// another drive, a bare drive and a UNC path.
Result<std::string> image_path(std::string_view parent, std::string_view path, std::string_view os, Slash slash);
// The path without "C:", cleaned (windows only; elsewhere the path as it is).
Result<std::string> without_drive(std::string_view path, std::string_view os, Slash slash);
// The working directory `wd` on `current`, with the separators of the system.
Result<std::string> image_workdir(std::string_view current, std::string_view wd, std::string_view os);
bool is_image_absolute(std::string_view path, std::string_view os);
std::string to_slashes(std::string_view path, std::string_view os);

}  // namespace kiln::frontend::dockerfile
