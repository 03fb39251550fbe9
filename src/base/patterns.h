// Lists of path patterns as ignore files and sync filters write them, by the semantics of Docker's
// pattern matcher: "*" and "?" stay inside an element, "**" crosses elements, "!" takes back what an
// earlier pattern chose, and what matches a directory matches everything below it.
//
//   KILN_ASSIGN_OR_RETURN(auto ignore, PatternMatcher::make({"node_modules", "!keep"}));
//   if (ignore.matches_or_parent("node_modules/x.js")) ...
//
// In a walk, carry the state of a directory to its children, which spares their parents' test:
//
//   PatternMatcher::State child;
//   bool out = ignore.matches(path, directory_state, &child);
//
// The patterns are indexed by their literal parts, so that hundreds of them cost little more than a
// few: a path is only compared with patterns that can match it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln {

// Immutable once made; any thread. Cheap to copy (shared).
class PatternMatcher {
 public:
  struct Pattern {
    std::string text;  // cleaned, without "!"
    bool exclusion = false;
  };
  // Which patterns matched a directory. A default State knows nothing; then the parents of a path
  // are tested too.
  class State {
   private:
    friend class PatternMatcher;
    bool known_ = false;
    std::vector<std::uint32_t> matched_;  // ascending
  };

  // Blank patterns are dropped. InvalidArgument for a lone "!" or a malformed pattern.
  static Result<PatternMatcher> make(std::span<const std::string> patterns);
  static Result<PatternMatcher> make(std::initializer_list<std::string> patterns) {
    return make(std::span<const std::string>(patterns.begin(), patterns.size()));
  }
  // Matches nothing.
  PatternMatcher();

  // Whether the last pattern that concerns `path` or one of its parents chooses it. `path` is
  // relative, cleaned, with "/".
  bool matches_or_parent(std::string_view path) const;
  // The same with the parent directory's state; `out` (may be null) becomes the state of `path`. A
  // pattern that the parent did not need to test is tested against `path` alone, which is how
  // Docker's own walks decide.
  bool matches(std::string_view path, const State& parent, State* out) const;

  bool empty() const;
  // Whether any pattern begins with "!".
  bool has_exclusions() const;
  const std::vector<Pattern>& patterns() const;

 private:
  struct Index;
  std::shared_ptr<const Index> index_;
};

}  // namespace kiln
