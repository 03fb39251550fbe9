#include "session/internal/path_filter.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <set>

#include "base/glob.h"
#include "base/gopath.h"
#include "base/text.h"
#include "host/fs.h"

namespace kiln::session::internal {
namespace {

std::string_view without_trailing_glob(std::string_view pattern) {
  if (pattern.ends_with("/**")) pattern.remove_suffix(3);
  if (pattern.ends_with("/*")) pattern.remove_suffix(2);
  return pattern;
}

bool only_prefixes(const PatternMatcher& matcher, bool exclusions) {
  for (const PatternMatcher::Pattern& pattern : matcher.patterns()) {
    if (pattern.exclusion == exclusions &&
        without_trailing_glob(pattern.text).find_first_of("*[]?^\\") != std::string_view::npos) {
      return false;
    }
  }
  return true;
}

// Follows links inside one root, lexically: a link's target is looked up from the root anew.
class Resolver {
 public:
  explicit Resolver(std::string root) : root_(std::move(root)) {}

  Status add(const std::string& path, int depth) {
    if (depth > 255) return user_error(Code::kFailedPrecondition, fmt::format("too many links in '{}'", path));
    std::string rest = clean_path("/" + path).substr(1);
    std::string current = ".";
    while (true) {
      auto [element, after] = split_once(rest, '/');
      current = join_path(current, element);
      KILN_ASSIGN_OR_RETURN(std::optional<std::vector<std::string>> targets, links_at(current, true));
      rest = std::string(after);
      if ((rest.empty() || targets) && found_.count(current)) return ok();
      if (targets) {
        found_.insert(current);
        for (const std::string& target : *targets) KILN_RETURN_IF_ERROR(add(join_path(target, rest), depth + 1));
        return ok();
      }
      if (rest.empty()) {
        found_.insert(current);
        return ok();
      }
    }
  }
  const std::set<std::string>& found() const { return found_; }

 private:
  // The targets when `path` is a link, or of all the links it matches; nothing for everything else.
  Result<std::optional<std::vector<std::string>>> links_at(const std::string& path, bool wildcards) {
    std::string name(base_name(path));
    if (wildcards && has_wildcard(name)) {
      std::string dir = dir_name(path);
      struct stat info;
      std::vector<std::string> out;
      if (lstat(on_disk(dir).c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return std::nullopt;
      KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(on_disk(dir)));
      for (const std::string& entry : names) {
        Result<bool> hit = glob_match(name, entry);
        if (!hit.ok() || !*hit) continue;
        KILN_ASSIGN_OR_RETURN(auto targets, links_at(join_path(dir, entry), false));
        if (targets) out.insert(out.end(), targets->begin(), targets->end());
      }
      return out;
    }
    char text[PATH_MAX];
    ssize_t size = path == "." ? -1 : readlink(on_disk(path).c_str(), text, sizeof text);
    if (size < 0) return std::nullopt;
    std::string link = clean_path(std::string_view(text, static_cast<std::size_t>(size)));
    if (is_absolute_path(link)) return std::vector<std::string>{link};
    return std::vector<std::string>{join_path({"/", dir_name(path), link})};
  }
  static bool has_wildcard(std::string_view name) {
    for (std::size_t i = 0; i < name.size(); ++i) {
      if (name[i] == '\\') {
        ++i;
      } else if (name[i] == '*' || name[i] == '?' || name[i] == '[') {
        return true;
      }
    }
    return false;
  }
  std::string on_disk(const std::string& path) const { return path == "." ? root_ : root_ + "/" + path; }

  std::string root_;
  std::set<std::string> found_;
};

}  // namespace

std::optional<std::vector<std::string>> without_nested(const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  std::string last;
  for (const std::string& path : paths) {
    if (path == ".") return std::nullopt;
    if (path.starts_with(last + "/")) continue;
    out.push_back(path);
    last = path;
  }
  return out;
}

Result<std::optional<std::vector<std::string>>> follow_links(const std::string& root,
                                                             const std::vector<std::string>& paths) {
  Resolver resolver(root);
  for (const std::string& path : paths) KILN_RETURN_IF_ERROR(resolver.add(path, 0));
  return without_nested({resolver.found().begin(), resolver.found().end()});
}

Result<PathFilter> PathFilter::make(const TreeFilter& filter, const std::optional<std::vector<std::string>>& resolved) {
  PathFilter out;
  std::optional<std::vector<std::string>> includes = filter.include_patterns;
  if (resolved) {
    includes->insert(includes->end(), resolved->begin(), resolved->end());
    includes = without_nested(*includes);
  }
  if (includes && !includes->empty()) {
    Result<PatternMatcher> made = PatternMatcher::make(*includes);
    if (!made.ok()) return annotate(made.status(), fmt::format("invalid includepatterns: [{}]", join(*includes, " ")));
    out.prefix_includes_ = only_prefixes(*made, false);
    out.include_ = *std::move(made);
  }
  if (!filter.exclude_patterns.empty()) {
    Result<PatternMatcher> made = PatternMatcher::make(filter.exclude_patterns);
    if (!made.ok()) {
      return annotate(made.status(), fmt::format("invalid excludepatterns: [{}]", join(filter.exclude_patterns, " ")));
    }
    out.prefix_exceptions_ = only_prefixes(*made, true);
    out.exclude_ = *std::move(made);
  }
  return out;
}

bool PathFilter::may_lie_below(const PatternMatcher& matcher, bool exclusions, std::string_view dir) const {
  for (const PatternMatcher::Pattern& pattern : matcher.patterns()) {
    if (pattern.exclusion != exclusions) continue;
    std::string_view text = without_trailing_glob(pattern.text);
    // "text/" begins with "dir/".
    if (text.substr(0, dir.size()) == dir && (text.size() == dir.size() || text[dir.size()] == '/')) return true;
  }
  return false;
}

PathFilter::Verdict PathFilter::judge(std::string_view path, bool is_dir, const State& parent, State& out) const {
  Verdict verdict = Verdict::kTell;
  if (include_ && !include_->matches(path, parent.include, &out.include)) {
    if (!is_dir || (prefix_includes_ && !may_lie_below(*include_, false, path))) return Verdict::kPrune;
    verdict = Verdict::kPass;
  }
  if (exclude_ && exclude_->matches(path, parent.exclude, &out.exclude)) {
    if (!is_dir || (prefix_exceptions_ && !may_lie_below(*exclude_, true, path))) return Verdict::kPrune;
    verdict = Verdict::kPass;
  }
  return verdict;
}

bool PathFilter::admits(std::string_view path) const {
  if (include_ && !include_->matches_or_parent(path)) return false;
  return !exclude_ || !exclude_->matches_or_parent(path);
}

}  // namespace kiln::session::internal
