#include "frontend/dockerfile/lower/paths.h"

#include <algorithm>

#include "base/gopath.h"

namespace kiln::frontend::dockerfile {

std::string used_path(std::string_view path) { return join_path("/", path); }

std::vector<std::string> follow_paths(const std::set<std::string>& used) {
  std::vector<std::string> out;
  for (const auto& path : used) {
    if (path == "/") return {};
    out.push_back(join_path(".", path));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace kiln::frontend::dockerfile
