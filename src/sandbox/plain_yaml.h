// The part of YAML that specification files of container devices are written in: nested mappings and
// lists by indentation, quoted and plain scalars, flow values that are JSON. No anchors, tags or
// multi-line scalars. JSON files are read as well.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string_view>

#include "base/status.h"

namespace kiln::sandbox {

// InvalidArgument names the line. Depth and size are bounded by the text.
Result<std::unique_ptr<nlohmann::json>> parse_plain_yaml(std::string_view text);

}  // namespace kiln::sandbox
