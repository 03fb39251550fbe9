#include "policy/source_policy.h"

#include <re2/re2.h>

#include "base/git_url.h"
#include "base/text.h"
#include "graph/attributes.h"
#include "wire/policy.pb.h"

namespace kiln::policy {
namespace {

namespace spb = moby::buildkit::v1::sourcepolicy;

constexpr int kRewritesMax = 20;

Status bad(std::string_view message) { return user_error(Code::kInvalidArgument, message); }

bool name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Go's regexp.Expand: "$1", "${1}", "${name}", "$$"; unknown groups are empty.
std::string expand(std::string_view format, const RE2& re, const std::vector<re2::StringPiece>& groups) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '$' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    if (format[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    bool braces = format[i + 1] == '{';
    std::size_t start = i + (braces ? 2 : 1);
    std::size_t end = start;
    while (end < format.size() && name_char(format[end])) ++end;
    if (end == start || (braces && (end == format.size() || format[end] != '}'))) {
      out += '$';
      continue;
    }
    std::string name(format.substr(start, end - start));
    std::size_t index = groups.size();
    if (std::isdigit(static_cast<unsigned char>(name.front())) != 0) {
      if (name.size() < 6) index = static_cast<std::size_t>(std::atoi(name.c_str()));
    } else if (auto found = re.NamedCapturingGroups().find(name); found != re.NamedCapturingGroups().end()) {
      index = static_cast<std::size_t>(found->second);
    }
    if (index < groups.size()) out.append(groups[index].data(), groups[index].size());
    i = braces ? end : end - 1;
  }
  return out;
}

std::vector<re2::StringPiece> find(const RE2& re, std::string_view text, std::size_t from) {
  std::vector<re2::StringPiece> groups(static_cast<std::size_t>(re.NumberOfCapturingGroups()) + 1);
  bool found = re.Match(re2::StringPiece(text.data(), text.size()), from, text.size(), RE2::UNANCHORED, groups.data(),
                        static_cast<int>(groups.size()));
  if (!found) groups.clear();
  return groups;
}

// Every match in the text replaced.
std::string replace_matches(const RE2& re, std::string_view text, std::string_view format) {
  std::string out;
  std::size_t at = 0;
  while (at <= text.size()) {
    std::vector<re2::StringPiece> groups = find(re, text, at);
    if (groups.empty()) break;
    auto start = static_cast<std::size_t>(groups[0].data() - text.data());
    out.append(text.substr(at, start - at));
    out += expand(format, re, groups);
    at = start + groups[0].size();
    if (groups[0].empty()) {  // an empty match moves on by a character
      if (at < text.size()) out += text[at];
      ++at;
    }
  }
  if (at < text.size()) out.append(text.substr(at));
  return out;
}

Result<bool> holds(const Constraint& constraint, const std::map<std::string, std::string>& attrs) {
  auto found = attrs.find(constraint.key);
  const std::string value = found == attrs.end() ? std::string() : found->second;
  if (constraint.condition == Condition::kEqual) return value == constraint.value;
  if (constraint.condition == Condition::kNotEqual) return value != constraint.value;
  RE2 re(constraint.value, RE2::Quiet);
  if (!re.ok()) return bad(fmt::format("invalid regex \"{}\": {}", constraint.value, re.error()));
  return RE2::PartialMatch(value, re);
}

Result<Rule> rule_of(const spb::Rule& in) {
  Rule out;
  if (!in.has_selector()) return bad("invalid nil selector in policy");
  if (in.action() < 0 || in.action() > 2)
    return bad(fmt::format("rule {} {}: unknown type", static_cast<int>(in.action()), in.selector().identifier()));
  out.action = static_cast<Action>(in.action());
  out.identifier = in.selector().identifier();
  if (in.selector().match_type() < 0 || in.selector().match_type() > 2) {
    return bad(fmt::format("unknown match type: {}", static_cast<int>(in.selector().match_type())));
  }
  out.match = static_cast<Match>(in.selector().match_type());
  for (const auto& constraint : in.selector().constraints()) {
    if (constraint.condition() < 0 || constraint.condition() > 2) {
      return bad(fmt::format("unknown attr condition: {}", static_cast<int>(constraint.condition())));
    }
    out.constraints.push_back({constraint.key(), constraint.value(), static_cast<Condition>(constraint.condition())});
  }
  out.has_update = in.has_updates();
  out.new_identifier = in.updates().identifier();
  for (const auto& [key, value] : in.updates().attrs()) out.new_attrs[key] = value;
  return out;
}

}  // namespace

// A rule's identifier, compiled.
struct SourcePolicy::Selector {
  explicit Selector(const Rule& rule) : identifier(rule.identifier), match(rule.match) {
    if (match == Match::kExact) return;
    std::string pattern = identifier;
    if (match == Match::kWildcard) {
      if (identifier.find("**") != std::string::npos) {
        error = bad(fmt::format("failed to translate wildcard \"{}\" to regexp: invalid wildcard: \"**\"", identifier));
        return;
      }
      pattern = "^" + replace_all(RE2::QuoteMeta(identifier), "\\*", "(.*)") + "$";
    }
    re = std::make_unique<RE2>(pattern, RE2::Quiet);
    if (!re->ok()) error = bad(fmt::format("failed to compile regexp \"{}\": {}", pattern, re->error()));
  }

  Result<bool> matches(const std::string& text) const {
    if (text == identifier) return true;
    if (match == Match::kExact) return false;
    KILN_RETURN_IF_ERROR(error);
    return RE2::PartialMatch(text, *re);
  }

  Result<std::string> rewrite(const std::string& text, const std::string& format) const {
    if (match == Match::kExact) return format;
    KILN_RETURN_IF_ERROR(error);
    if (match == Match::kRegex) return replace_matches(*re, text, format);
    std::vector<re2::StringPiece> groups = find(*re, text, 0);
    if (groups.empty()) return text;
    return expand(format, *re, groups);
  }

  std::string identifier;
  Match match;
  std::unique_ptr<RE2> re;
  Status error;
};

SourcePolicy::SourcePolicy() = default;
SourcePolicy::~SourcePolicy() = default;
SourcePolicy::SourcePolicy(SourcePolicy&&) noexcept = default;
SourcePolicy& SourcePolicy::operator=(SourcePolicy&&) noexcept = default;

SourcePolicy::SourcePolicy(std::vector<Policy> policies) : policies_(std::move(policies)) {
  for (const Policy& policy : policies_) {
    auto& compiled = selectors_.emplace_back();
    for (const Rule& rule : policy.rules) compiled.push_back(std::make_unique<Selector>(rule));
  }
}

Result<Policy> parse_policy(std::string_view bytes) {
  spb::Policy message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return bad("the source policy does not parse");
  Policy out{.version = message.version(), .rules = {}};
  for (const spb::Rule& rule : message.rules()) {
    KILN_ASSIGN_OR_RETURN(Rule parsed, rule_of(rule));
    out.rules.push_back(std::move(parsed));
  }
  return out;
}

Result<bool> SourcePolicy::evaluate(graph::SourceOp& op) const {
  bool changed = false;
  for (int rounds = 0;; ++rounds) {
    if (rounds > kRewritesMax) {
      return user_error(Code::kFailedPrecondition, "too many mutations on a single source: too many operations");
    }
    bool rewritten = false;
    for (std::size_t i = 0; i < policies_.size() && !rewritten; ++i) {
      KILN_ASSIGN_OR_RETURN(rewritten, evaluate_once(i, op));
    }
    if (!rewritten) return changed;
    changed = true;
  }
}

Result<bool> SourcePolicy::evaluate_once(const std::size_t policy, graph::SourceOp& op) const {
  bool deny = false;
  const std::string identifier = op.identifier;
  for (std::size_t i = 0; i < policies_[policy].rules.size(); ++i) {
    const Rule& rule = policies_[policy].rules[i];
    const Selector& selector = *selectors_[policy][i];
    bool applies = true;
    for (const Constraint& constraint : rule.constraints) {
      KILN_ASSIGN_OR_RETURN(bool held, holds(constraint, op.attrs));
      applies = applies && held;
    }
    if (!applies) continue;
    KILN_ASSIGN_OR_RETURN(bool matched, selector.matches(identifier));
    if (!matched) continue;
    if (rule.action != Action::kConvert) {
      deny = rule.action == Action::kDeny;
      continue;
    }
    if (!rule.has_update) return bad("error mutating source policy: missing destination for convert rule");
    const std::string& format = rule.new_identifier.empty() ? rule.identifier : rule.new_identifier;
    KILN_ASSIGN_OR_RETURN(std::string target, selector.rewrite(identifier, format));
    bool rewritten = !target.empty() && target != op.identifier;
    if (rewritten) op.identifier = target;
    for (const auto& [key, value] : rule.new_attrs) {
      auto [at, added] = op.attrs.try_emplace(key, value);
      rewritten = rewritten || added || at->second != value;
      at->second = value;
    }
    if (rewritten) return true;
  }
  if (!deny) return false;
  return user_error(Code::kPermissionDenied,
                    fmt::format("source \"{}\" denied by policy: source denied by policy", identifier));
}

std::string normalized_identifier(const graph::SourceOp& op) {
  constexpr std::string_view kGit = "git://";
  if (!op.identifier.starts_with(kGit)) return op.identifier;
  std::string address = op.identifier.substr(kGit.size());
  if (!is_git_transport(address)) address = "https://" + address;
  Result<GitUrl> own = parse_git_url(address);
  if (!own.ok()) return op.identifier;
  std::string remote = own->remote;
  if (auto full = op.attrs.find(graph::kAttrGitFullUrl); full != op.attrs.end()) {
    remote = is_git_transport(full->second) ? full->second : "https://" + full->second;
  }
  if (Result<GitUrl> url = parse_git_url(remote); url.ok()) {
    remote = url->host + (url->path.starts_with('/') ? "" : "/") + url->path;
  }
  std::string out = std::string(kGit) + remote;
  if (!own->ref.empty() || !own->subdir.empty()) out += "#" + own->ref;
  if (!own->subdir.empty()) out += ":" + own->subdir;
  return out;
}

}  // namespace kiln::policy
