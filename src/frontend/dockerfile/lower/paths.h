// Which paths of a context are used.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::frontend::dockerfile {

// The path as noted: rooted and clean.
std::string used_path(std::string_view path);
// What to ask a client for: relative, sorted; empty when everything is used (or nothing is known).
std::vector<std::string> follow_paths(const std::set<std::string>& used);

}  // namespace kiln::frontend::dockerfile
