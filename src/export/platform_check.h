// Whether a result has the platforms that were asked for. A mismatch is no failure, but worth a warning:
// the images would not be those that somebody waits for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "export/exporter.h"

namespace kiln::exporter {

// `requested` as clients give it ("linux/amd64,linux/arm64"); empty: the host's. One sentence a warning,
// in the words that clients know; none for a result without trees. Pure.
std::vector<std::string> platform_warnings(const BuildResult& result, std::string_view requested);

}  // namespace kiln::exporter
