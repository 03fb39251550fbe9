#include "frontend/dockerfile/lint.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/directives.h"

namespace kiln::frontend::dockerfile {
namespace {

using RuleNames = std::set<std::string, std::less<>>;

RuleNames rule_names(std::string_view list) {
  RuleNames out;
  for (std::string_view name : split(list, ',')) out.emplace(trim(name));
  return out;
}

Status set_option(LintOptions& options, std::string_view part) {
  auto [key, value] = split_once(part, '=');
  if (part.find('=') == std::string_view::npos) {
    return user_error(Code::kInvalidArgument, fmt::format("invalid check option {}", quote(part)));
  }
  key = trim(key);
  value = trim(value);
  if (key == "skip") {
    options.skip_all = value == "all";
    options.skip = options.skip_all ? RuleNames() : rule_names(value);
  } else if (key == "experimental") {
    options.experimental_all = value == "all";
    options.experimental = options.experimental_all ? RuleNames() : rule_names(value);
  } else if (key == "error") {
    std::optional<bool> error = parse_bool(value);
    if (!error) {
      return user_error(
          Code::kInvalidArgument,
          fmt::format("failed to parse check option {}: {} is neither true nor false", quote(part), quote(value)));
    }
    options.error = *error;
  } else {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid check option {}{}", quote(key),
                                  suggestion_suffix(key, {"skip", "error", "experimental"}, MatchCase::kSensitive)));
  }
  return ok();
}

// Whether one of the tokens is a whole word of the name, words being joined by '_'.
template <std::size_t N>
bool has_word(std::string_view name, const std::array<std::string_view, N>& tokens) {
  for (std::string_view word : split(name, '_')) {
    for (std::string_view token : tokens) {
      if (equals_ignore_case(word, token)) return true;
    }
  }
  return false;
}

}  // namespace

Result<LintOptions> parse_lint_options(std::string_view text) {
  LintOptions options;
  text = trim(text);
  if (text.empty()) return options;
  for (std::string_view part : split(text, ';')) KILN_RETURN_IF_ERROR(set_option(options, part));
  return options;
}

Result<LintOptions> lint_options_for(std::string_view text, std::optional<std::string_view> build_arg) {
  Result<LintOptions> options = LintOptions{};
  if (build_arg) {
    options = parse_lint_options(*build_arg);
  } else if (std::optional<Directive> check = find_directive("check", text)) {
    options = parse_lint_options(check->word);
    if (!options.ok()) return with_ranges(options.status(), check->ranges);
  }
  return options;
}

Linter::Linter(LintOptions options, Warn warn)
    : options_(std::move(options)), warn_(std::move(warn)), fired_(std::make_shared<RuleNames>()) {}

void Linter::report(const LintRule& rule, const Ranges& ranges, const std::string& message) {
  if (!warn_) return;
  bool silent = rule.experimental ? !options_.experimental_all && !options_.experimental.contains(rule.name)
                                  : options_.skip_all || options_.skip.contains(rule.name);
  if (silent) return;
  fired_->emplace(rule.name);
  warn_(rule, message, ranges);
}

Linter Linter::with_comments(const std::vector<std::string>& comments) const {
  for (const std::string& comment : comments) {
    DirectiveReader reader("");
    Result<std::optional<Directive>> directive = reader.read(comment);
    if (!directive.ok() || !*directive || (*directive)->name != "check") continue;
    Result<LintOptions> options = parse_lint_options((*directive)->word);
    if (!options.ok()) return *this;
    Linter out = *this;
    out.options_.skip_all |= options->skip_all;
    out.options_.experimental_all |= options->experimental_all;
    out.options_.skip.merge(options->skip);
    out.options_.experimental.merge(options->experimental);
    return out;
  }
  return *this;
}

Status Linter::verdict() const {
  if (!options_.error || fired_->empty()) return ok();
  return user_error(Code::kInvalidArgument, fmt::format("lint violation found for rules: {}", join(*fired_, ", ")));
}

bool looks_like_secret(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kSecret = {
      "apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"};
  static constexpr std::array<std::string_view, 3> kHarmless = {"public", "file", "version"};
  return has_word(name, kSecret) && !has_word(name, kHarmless);
}

std::string lint_line(std::string_view rule, std::string_view message, int line) {
  return line > 0 ? fmt::format("{}: {} (line {})", rule, message, line) : fmt::format("{}: {}", rule, message);
}

std::string suggest(std::string_view word, const std::vector<std::string>& options, MatchCase match_case) {
  bool exact = match_case == MatchCase::kSensitive;
  std::string wanted = exact ? std::string(word) : to_lower(word);
  std::string best;
  int best_distance = 3;
  for (const std::string& option : options) {
    std::string candidate = exact ? option : to_lower(option);
    if (candidate == wanted) return "";
    if (int distance = edit_distance(wanted, candidate); distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (!exact && word != to_lower(word) && word == to_upper(word)) return to_upper(best);
  return best;
}

std::string suggestion_suffix(std::string_view word, const std::vector<std::string>& options, MatchCase match_case) {
  std::string near = suggest(word, options, match_case);
  return near.empty() ? "" : fmt::format(" (did you mean {}?)", near);
}

}  // namespace kiln::frontend::dockerfile
