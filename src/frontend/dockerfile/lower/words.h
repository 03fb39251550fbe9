// Small work on messages and names.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "frontend/dockerfile/lower/stage.h"

namespace kiln::frontend::dockerfile {

// The same error with `suffix` behind its sentence.
Status with_suffix(const Status& status, std::string_view suffix);
// " (did you mean X?)" for the first of `names` that is near to an option.
Status with_suggestion(const Status& status, const std::set<std::string, std::less<>>& names,
                       const std::vector<std::string>& options);
// Stages called scratch or context are never replaced by contexts of the client.
bool is_context_name(std::string_view name);
// Image names that people mistype.
std::vector<std::string> common_images();
// InvalidArgument "circular dependency detected on stage: X" with the places that make the circle.
Status check_cycles(const std::vector<StageState*>& stages);

}  // namespace kiln::frontend::dockerfile
