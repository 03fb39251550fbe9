// Questions with a wildcard or patterns: which entries count, in which order, and how their digests
// are put together.
#include <fmt/format.h>

#include "base/glob.h"
#include "base/gopath.h"
#include "base/quote.h"
#include "base/text.h"
#include "store/internal/digest_question.h"

namespace kiln::store {

namespace {

using Type = DigestNode::Type;

bool contains_wildcards(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '*' || name[i] == '?' || name[i] == '[') return true;
    if (name[i] == '\\') ++i;
  }
  return false;
}

// The leading elements without wildcards, and whether anything follows them.
std::pair<std::string, bool> literal_prefix(std::string_view pattern) {
  std::string prefix;
  for (std::string_view part : split(pattern, '/')) {
    if (part.empty()) continue;
    if (contains_wildcards(part)) return {prefix, true};
    prefix += '/';
    prefix += part;
  }
  return {prefix, false};
}

std::string key_path(std::string_view path) {
  std::string clean = join_path("/", path);
  return clean == "/" ? "" : clean;
}

}  // namespace

// Walks the part of the tree that the question is about, in the order of BuildKit's keys: a directory,
// its header, its entries by name.
class DigestQuestion::Selection {
  static Result<PatternMatcher> matcher_of(std::string_view what, const std::vector<std::string>& patterns) {
    Result<PatternMatcher> made = PatternMatcher::make(patterns);
    if (!made.ok()) return annotate(made.status(), fmt::format("invalid {}: [{}]", what, join(patterns, " ")));
    return made;
  }

 public:
  Selection(DigestQuestion& question, const ChecksumOptions& options, std::string pattern, bool ends_in_slash)
      : q_(question), options_(options), pattern_(std::move(pattern)), ends_in_slash_(ends_in_slash) {}

  Status run() {
    KILN_ASSIGN_OR_RETURN(include_, matcher_of("includepatterns", options_.include_patterns));
    KILN_ASSIGN_OR_RETURN(exclude_, matcher_of("excludepatterns", options_.exclude_patterns));
    bool more = false;
    if (options_.wildcard) {
      std::tie(prefix_, more) = literal_prefix(pattern_);
    } else {
      prefix_ = pattern_;
    }
    KILN_ASSIGN_OR_RETURN(Place start, q_.resolve(prefix_, more && !prefix_.empty()));
    if (!start.node) return ok();
    // A set may hold a slash or anything quoted: then directories are not ruled out by name.
    prunable_ = options_.wildcard && pattern_.find_first_of("[\\") == std::string::npos;
    return visit(*start.node, prefix_, start.path);
  }

  const std::string& prefix() const { return prefix_; }
  std::vector<Selected>& selected() { return selected_; }

 private:
  // A directory whose header was met; it counts as selected as soon as something in it is.
  struct Above {
    Selected header;
    PatternMatcher::State include, exclude;
    bool counted = false;
  };

  Status visit(DigestNode& node, const std::string& path, const std::string& real_path) {
    if (q_.stop_.stop_requested()) return cancelled();
    if (node.type != Type::kDirectory) {
      KILN_ASSIGN_OR_RETURN(bool matched, matches(path));
      if (!matched) return ok();
      Above here = look_at(path, node, real_path);
      if (chosen_) count(here);
      return ok();
    }
    std::size_t depth = above_.size();
    KILN_ASSIGN_OR_RETURN(bool matched, matches(path));
    const bool without_header = path == pattern_ && ends_in_slash_;  // a final slash leaves it out
    if (matched && !without_header) {
      Above here = look_at(path, node, real_path);
      if (chosen_) count(here);
      above_.push_back(std::move(here));
    }
    if (may_hold_matches(path)) {
      KILN_RETURN_IF_ERROR(q_.list(node, real_path));
      for (auto& child : node.children) {
        KILN_RETURN_IF_ERROR(visit(*child, path + "/" + child->name, real_path + "/" + child->name));
      }
    }
    above_.resize(depth);
    return ok();
  }

  // Whether the wildcard covers the path, by itself or by a directory that matched before.
  Result<bool> matches(const std::string& path) {
    if (!options_.wildcard || pattern_.empty()) return true;
    if (!matched_dir_.empty() && path.starts_with(matched_dir_) && path.size() > matched_dir_.size() &&
        path[matched_dir_.size()] == '/') {
      return true;
    }
    KILN_ASSIGN_OR_RETURN(bool hit, glob_match(pattern_, path));
    if (hit) matched_dir_ = path;
    return hit;
  }

  bool may_hold_matches(const std::string& path) const {
    if (!prunable_ || pattern_.empty()) return true;
    if (!matched_dir_.empty() && (path == matched_dir_ || path.starts_with(matched_dir_ + "/"))) return true;
    std::vector<std::string_view> wanted = split(pattern_, '/'), have = split(path, '/');
    if (have.size() >= wanted.size()) return false;
    for (std::size_t i = 0; i < have.size(); ++i) {
      Result<bool> hit = glob_match(wanted[i], have[i]);
      if (!hit.ok() || !*hit) return false;
    }
    return true;
  }

  // Sets chosen_ by the include and exclude patterns.
  Above look_at(const std::string& path, DigestNode& node, const std::string& real_path) {
    Above here;
    here.header = {path, real_path, &node, options_.follow_links && above_.empty()};
    const std::string& base = options_.wildcard ? matched_dir_ : pattern_;
    std::string_view candidate(path);
    candidate.remove_prefix(std::min(candidate.size(), base.size()));
    if (candidate.starts_with('/')) candidate.remove_prefix(1);
    static const PatternMatcher::State kNone;
    chosen_ = true;
    if (!options_.include_patterns.empty()) {
      chosen_ = include_.matches(candidate, above_.empty() ? kNone : above_.back().include, &here.include);
    }
    if (chosen_ && !options_.exclude_patterns.empty()) {
      chosen_ = !exclude_.matches(candidate, above_.empty() ? kNone : above_.back().exclude, &here.exclude);
    }
    return here;
  }

  void count(Above& here) {
    for (Above& directory : above_) {
      if (!directory.counted) selected_.push_back(directory.header);
      directory.counted = true;
    }
    selected_.push_back(here.header);
    here.counted = true;
  }

  DigestQuestion& q_;
  const ChecksumOptions& options_;
  std::string pattern_;
  bool ends_in_slash_;
  bool prunable_ = false;
  bool chosen_ = false;
  std::string prefix_;
  std::string matched_dir_;
  PatternMatcher include_, exclude_;
  std::vector<Above> above_;
  std::vector<Selected> selected_;
};

namespace {

// Adds what lies at and below the node, as far as its digest is known; a directory at `depth` 0 as one
// entry. False when there are too many entries.
bool list_below(const DigestNode& node, const std::string& path, std::size_t entries_max, int depth,
                std::vector<event::FileSum>& out) {
  const bool whole = node.type == Type::kDirectory && depth == 0;
  const Sum& sum = node.type == Type::kDirectory && !whole ? node.header : node.sum;
  if (sum.known) out.push_back({path.empty() ? "/" : path, sum.text().substr(7, 16), whole});
  if (out.size() > entries_max) return false;
  if (whole) return true;
  for (const auto& child : node.children) {
    if (!list_below(*child, path + "/" + child->name, entries_max, depth - 1, out)) return false;
  }
  return true;
}

constexpr int kAnyDepth = 4096;
constexpr int kDepthOfMany = 2;

}  // namespace

Result<std::vector<event::FileSum>> DigestQuestion::listing(std::string_view path, const ChecksumOptions& options,
                                                            std::size_t entries_max) {
  std::vector<event::FileSum> out;
  if (!options.wildcard && options.include_patterns.empty() && options.exclude_patterns.empty()) {
    KILN_ASSIGN_OR_RETURN(Place place, resolve(key_path(path), options.follow_links));
    if (!place.node) return out;
    if (list_below(*place.node, place.path, entries_max, kAnyDepth, out)) return out;
    out.clear();
    (void)list_below(*place.node, place.path, entries_max, kDepthOfMany, out);
    return out;
  }
  Selection selection(*this, options, key_path(path), path.ends_with('/'));
  KILN_RETURN_IF_ERROR(selection.run());
  for (const Selected& s : selection.selected()) {
    if (out.size() >= entries_max) break;
    const Sum& sum = s.node->type == Type::kDirectory ? s.node->header : s.node->sum;
    if (sum.known) out.push_back({s.path, sum.text().substr(7, 16), false});
  }
  return out;
}

Result<Digest> DigestQuestion::answer(std::string_view path, const ChecksumOptions& options) {
  if (!options.wildcard && options.include_patterns.empty() && options.exclude_patterns.empty()) {
    return digest_of(key_path(path), options.follow_links);
  }
  Selection selection(*this, options, key_path(path), path.ends_with('/'));
  KILN_RETURN_IF_ERROR(selection.run());
  std::vector<Selected>& selected = selection.selected();
  for (const std::string& required : options.required_paths) {
    bool found =
        std::any_of(selected.begin(), selected.end(), [&](const Selected& s) { return s.path.starts_with(required); });
    if (!found) return user_error(Code::kNotFound, fmt::format("{}: not found", quote(required)));
  }
  std::vector<Missing> missing;
  for (const Selected& s : selected) {
    bool known = s.node->type == Type::kDirectory ? s.node->header.known : s.node->sum.known;
    if (!known && !(s.follow && s.node->type == Type::kSymlink)) missing.push_back({s.node, s.real_path});
  }
  KILN_RETURN_IF_ERROR(hash_all(std::move(missing)));
  std::vector<std::string> sums;
  sums.reserve(selected.size());
  for (const Selected& s : selected) {
    if (s.follow && s.node->type == Type::kSymlink) {
      KILN_ASSIGN_OR_RETURN(Digest target, digest_of(s.path, options.follow_links));
      sums.push_back(target.str());
    } else {
      sums.push_back((s.node->type == Type::kDirectory ? s.node->header : s.node->sum).text());
    }
  }
  if (selected.empty()) return Digest::of("");
  if (selected.size() == 1 && base_name(path) == base_name(selected[0].path)) return Digest::trusted(sums[0]);
  Hasher hasher;
  for (std::size_t i = 0; i < selected.size(); ++i) {
    std::string_view name = selected[i].path;
    if (name.starts_with(selection.prefix())) name.remove_prefix(selection.prefix().size());
    std::string key = replace_all(std::string(name), "/", std::string_view("\0", 1));
    hasher.update(key.empty() ? std::string_view("\0", 1) : std::string_view(key));
    hasher.update(sums[i]);
  }
  return hasher.finish();
}

}  // namespace kiln::store
