// How new an archive is.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace kiln::frontend::dockerfile {

// Modification time of the newest regular file of a tar (plain or compressed); nothing for bytes
// that are no tar or hold no file. Pure; any thread.
std::optional<Time> newest_in_archive(std::string_view bytes);

}  // namespace kiln::frontend::dockerfile
