#include "base/gopath.h"

#include <vector>

namespace kiln {
namespace {

// Elements of a cleaned relative tail; ".." kept only where nothing stands before it.
std::vector<std::string_view> elements_of(std::string_view path, bool rooted) {
  std::vector<std::string_view> out;
  std::size_t at = 0;
  while (at <= path.size()) {
    std::size_t end = path.find('/', at);
    if (end == std::string_view::npos) end = path.size();
    std::string_view element = path.substr(at, end - at);
    at = end + 1;
    if (element.empty() || element == ".") continue;
    if (element != "..") {
      out.push_back(element);
    } else if (!out.empty() && out.back() != "..") {
      out.pop_back();
    } else if (!rooted) {
      out.push_back(element);
    }
  }
  return out;
}

bool is_clean(std::string_view path) {
  if (path.empty()) return false;
  if (path == "/" || path == ".") return true;
  if (path.back() == '/') return false;
  std::size_t at = path.front() == '/' ? 1 : 0;
  while (at <= path.size()) {
    std::size_t end = path.find('/', at);
    if (end == std::string_view::npos) end = path.size();
    std::string_view element = path.substr(at, end - at);
    if (element.empty() || element == "." || element == "..") return false;
    at = end + 1;
  }
  return true;
}

}  // namespace

std::string clean_path(std::string_view path) {
  if (is_clean(path)) return std::string(path);
  bool rooted = is_absolute_path(path);
  std::string out = rooted ? "/" : "";
  bool first = true;
  for (std::string_view element : elements_of(path, rooted)) {
    if (!first) out.push_back('/');
    out.append(element);
    first = false;
  }
  return out.empty() ? "." : out;
}

std::string join_path(std::initializer_list<std::string_view> elements) {
  std::string joined;
  for (std::string_view element : elements) {
    if (element.empty()) continue;
    if (!joined.empty()) joined.push_back('/');
    joined.append(element);
  }
  return joined.empty() ? "" : clean_path(joined);
}

std::string_view base_name(std::string_view path) {
  if (path.empty()) return ".";
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  if (path.empty()) return "/";
  std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string dir_name(std::string_view path) {
  std::size_t slash = path.rfind('/');
  return clean_path(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash + 1));
}

std::string_view path_extension(std::string_view path) {
  std::size_t slash = path.rfind('/');
  std::size_t dot = path.rfind('.');
  if (dot == std::string_view::npos) return {};
  if (slash != std::string_view::npos && dot < slash) return {};
  return path.substr(dot);
}

std::optional<std::string> relative_path(std::string_view base, std::string_view target) {
  bool rooted = is_absolute_path(base);
  if (rooted != is_absolute_path(target)) return std::nullopt;
  std::vector<std::string_view> from = elements_of(base, rooted);
  std::vector<std::string_view> to = elements_of(target, rooted);
  std::size_t common = 0;
  while (common < from.size() && common < to.size() && from[common] == to[common]) ++common;
  std::string out;
  for (std::size_t i = common; i < from.size(); ++i) {
    if (from[i] == "..") return std::nullopt;
    out.append(out.empty() ? ".." : "/..");
  }
  for (std::size_t i = common; i < to.size(); ++i) {
    if (!out.empty()) out.push_back('/');
    out.append(to[i]);
  }
  return out.empty() ? "." : out;
}

bool path_within(std::string_view dir, std::string_view path) {
  if (dir == path) return true;
  if (dir == "/") return is_absolute_path(path);
  if (dir == "." || dir.empty()) return !is_absolute_path(path) && path != ".." && path.substr(0, 3) != "../";
  return path.size() > dir.size() && path.substr(0, dir.size()) == dir && path[dir.size()] == '/';
}

}  // namespace kiln
