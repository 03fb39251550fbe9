#include <fmt/format.h>

#include <algorithm>

#include "base/gopath.h"
#include "base/text.h"
#include "session/file_tree.h"

namespace kiln::session {

Result<std::shared_ptr<SubdirTrees>> SubdirTrees::make(
    std::vector<std::pair<FileStat, std::shared_ptr<FileTree>>> trees) {
  auto by_name = [](const auto& a, const auto& b) { return a.first.path < b.first.path; };
  std::sort(trees.begin(), trees.end(), by_name);
  for (std::size_t i = 0; i < trees.size(); ++i) {
    const std::string& name = trees[i].first.path;
    if (name != base_name(name) || name == "." || name == ".." || name == "/") {
      return user_error(Code::kInvalidArgument, fmt::format("'{}' is no name for a directory", name));
    }
    if (i > 0 && trees[i - 1].first.path == name) {
      return user_error(Code::kAlreadyExists, fmt::format("directory '{}' is named twice", name));
    }
  }
  auto out = std::make_shared<SubdirTrees>();
  out->trees_ = std::move(trees);
  return out;
}

Status SubdirTrees::walk(const std::function<Status(FileStat&)>& visit, std::stop_token stop) {
  for (auto& [dir, tree] : trees_) {
    FileStat top = dir;
    KILN_RETURN_IF_ERROR(visit(top));
    const std::string& name = dir.path;
    auto below = [&](FileStat& stat) {
      stat.path = name + "/" + stat.path;
      if (stat.is_hard_link()) {
        stat.link = name + "/" + stat.link;
      } else if (is_absolute_path(stat.link)) {
        stat.link = join_path("/" + name, stat.link);
      }
      return visit(stat);
    };
    KILN_RETURN_IF_ERROR(tree->walk(below, stop));
  }
  return ok();
}

Result<host::Fd> SubdirTrees::open(const std::string& path) {
  auto [first, rest] = split_once(path, '/');
  for (auto& [dir, tree] : trees_) {
    if (dir.path == first && !rest.empty()) return tree->open(std::string(rest));
  }
  return user_error(Code::kNotFound, fmt::format("open '{}': no such file", path));
}

Result<std::shared_ptr<FileTree>> SubdirTrees::filtered(const TreeFilter&) {
  return engine_error("trees put together cannot be filtered");
}

}  // namespace kiln::session
