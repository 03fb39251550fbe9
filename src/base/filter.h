// Filter expressions as containerd's tools write them, for lists of workers, records and builds:
//
//   KILN_ASSIGN_OR_RETURN(Filter filter, Filter::parse("type==regular,description~=apt"));
//   bool shown = filter.matches([&](std::span<const std::string> path) { return field_of(record, path); });
//
// Syntax: selectors joined by "," must all match; a selector is a field path ("labels.\"a.b\"")
// alone (present and not empty) or with "==", "!=", "~=" (RE2 search) and a value, which may be
// quoted. An empty expression matches everything. Immutable; any thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln {

class Filter {
 public:
  // Gives the value of a field, nothing when the thing has no such field.
  using Fields = std::function<std::optional<std::string>(std::span<const std::string> path)>;

  // InvalidArgument with "parse error" when the expression is not understood.
  static Result<Filter> parse(std::string_view expression);
  // Matches when any of the expressions does; no expressions match everything.
  static Result<Filter> parse_any(const std::vector<std::string>& expressions);

  bool matches(const Fields& fields) const;

 private:
  struct Selector;
  using Conjunction = std::vector<std::shared_ptr<const Selector>>;
  std::vector<Conjunction> any_;  // empty: everything
};

}  // namespace kiln
