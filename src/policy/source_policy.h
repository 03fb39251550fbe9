// Which sources may be used, and what stands in for them: rules that allow, deny or rewrite source
// ops before their vertices get names. Consulted by graph loading (LoadOptions::rewrite_source) and
// before a frontend's question about a source is answered.
//
//   KILN_ASSIGN_OR_RETURN(Policy policy, parse_policy(bytes));
//   SourcePolicy rules({policy});
//   KILN_ASSIGN_OR_RETURN(bool changed, rules.evaluate(source_op));
//
// Format: moby.buildkit.v1.sourcepolicy.Policy. Regular expressions are RE2's, as Go's are.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/op.h"

namespace kiln::policy {

enum class Action { kAllow, kDeny, kConvert };
enum class Match { kWildcard, kExact, kRegex };
enum class Condition { kEqual, kNotEqual, kMatches };

struct Constraint {
  std::string key;
  std::string value;
  Condition condition = Condition::kEqual;
};
struct Rule {
  Action action = Action::kAllow;
  std::string identifier;  // what is selected, as `match` reads it
  Match match = Match::kWildcard;
  std::vector<Constraint> constraints;  // on the op's attributes; all must hold
  bool has_update = false;
  std::string new_identifier;  // of kConvert; "${1}" stands for what the first "*" or group matched
  std::map<std::string, std::string> new_attrs;
};
struct Policy {
  std::int64_t version = 0;
  std::vector<Rule> rules;
};

// From the serialised message. InvalidArgument when it does not parse or has unknown enum values.
Result<Policy> parse_policy(std::string_view bytes);

// Several policies, asked in order. Immutable after construction; any thread.
class SourcePolicy {
 public:
  SourcePolicy();
  explicit SourcePolicy(std::vector<Policy> policies);
  ~SourcePolicy();
  SourcePolicy(SourcePolicy&&) noexcept;
  SourcePolicy& operator=(SourcePolicy&&) noexcept;

  bool empty() const { return policies_.empty(); }
  // Rewrites the op until no rule changes it any more; gives whether it was changed. Within a policy
  // the last rule that matches decides between allow and deny. PermissionDenied `source "…" denied by
  // policy: source denied by policy`; FailedPrecondition when rewriting does not come to an end,
  // InvalidArgument for a broken pattern.
  Result<bool> evaluate(graph::SourceOp& op) const;

 private:
  struct Selector;
  Result<bool> evaluate_once(const std::size_t policy, graph::SourceOp& op) const;

  std::vector<Policy> policies_;
  std::vector<std::vector<std::unique_ptr<Selector>>> selectors_;  // compiled, one a rule
};

// The identifier in the form that rules are written against: "git://host/path#ref:subdir" for a git
// source whatever its transport; others as they are.
std::string normalized_identifier(const graph::SourceOp& op);

}  // namespace kiln::policy
