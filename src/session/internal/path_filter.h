// Include and exclude patterns as a walk applies them: which entries are told, and which directories
// need not be entered because nothing below them can be.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/patterns.h"
#include "base/status.h"
#include "session/file_tree.h"

namespace kiln::session::internal {

// Immutable; any thread.
class PathFilter {
 public:
  // What a directory hands to its entries.
  struct State {
    PatternMatcher::State include, exclude;
  };
  enum class Verdict {
    kTell,   // tell it, and the directories above it that were not told yet
    kPass,   // do not tell it, but look below
    kPrune,  // neither it nor anything below
  };

  // `resolved` are the followed paths (follow_links), nothing when the filter names none.
  static Result<PathFilter> make(const TreeFilter& filter, const std::optional<std::vector<std::string>>& resolved);
  bool passes_all() const { return !include_ && !exclude_; }
  Verdict judge(std::string_view path, bool is_dir, const State& parent, State& out) const;
  // Without a walk: whether the path itself would be told.
  bool admits(std::string_view path) const;

 private:
  bool may_lie_below(const PatternMatcher& matcher, bool exclusions, std::string_view dir) const;

  std::optional<PatternMatcher> include_, exclude_;
  bool prefix_includes_ = true;    // all include patterns are plain but for a trailing glob
  bool prefix_exceptions_ = true;  // so are all exceptions of the exclude patterns
};

// Sorted paths that `paths` lead to when every symbolic link on the way is followed inside `root`,
// links and targets both; wildcards in an element match names. Nothing when one leads to the root
// itself, which stands for no restriction.
Result<std::optional<std::vector<std::string>>> follow_links(const std::string& root,
                                                             const std::vector<std::string>& paths);
// Drops sorted paths that lie below an earlier one; nothing when one is ".".
std::optional<std::vector<std::string>> without_nested(const std::vector<std::string>& paths);

}  // namespace kiln::session::internal
