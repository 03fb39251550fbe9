#include "frontend/dockerfile/check/fix.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "frontend/dockerfile/check/fix_words.h"
#include "frontend/dockerfile/instructions.h"
#include "frontend/dockerfile/source_words.h"
#include "frontend/dockerfile/statement.h"

namespace kiln::frontend::dockerfile {
namespace {

struct Edit {
  std::size_t offset = 0;
  std::size_t size = 0;
  std::string text;
};

// One finding at its statement.
struct Place {
  std::string_view file;
  const Finding& finding;
  const Statement& statement;
  std::vector<SourceWord> words;  // the keyword first; at least one

  bool one_line() const { return statement.first_line == statement.last_line; }
};

using Edits = std::vector<Edit>;

Edit replace(const SourceWord& word, std::string text) { return {word.offset, word.size, std::move(text)}; }

// From the first byte of one word to the last of another.
Edit replace(const SourceWord& first, const SourceWord& last, std::string text) {
  return {first.offset, last.offset + last.size - first.offset, std::move(text)};
}

Edits fix_keyword_casing(const Place& at) {
  const std::string& word = at.words.front().text;
  return {replace(at.words.front(), at.finding.message.ends_with("(lowercase)") ? to_lower(word) : to_upper(word))};
}

Edits fix_as_casing(const Place& at) {
  if (at.words.size() < 3) return {};
  const SourceWord& as = at.words[at.words.size() - 2];
  if (!equals_ignore_case(as.text, "as")) return {};
  const std::string& from = at.words.front().text;
  return {replace(as, from == to_lower(from) ? "as" : "AS")};
}

Edits fix_stage_name(const Place& at) { return {replace(at.words.back(), to_lower(at.words.back().text))}; }

Edits fix_empty_lines(const Place& at) {
  Edits out;
  if (!at.statement.heredocs.empty()) return out;
  for (int line = at.statement.first_line; line <= at.statement.last_line; ++line) {
    const std::size_t begin = line_offset(at.file, line), end = line_offset(at.file, line + 1);
    if (trim(at.file.substr(begin, end - begin)).empty()) out.push_back({begin, end - begin, ""});
  }
  return out;
}

Edits fix_key_value(const Place& at) {
  if (!at.one_line() || at.words.size() < 3) return {};
  const SourceWord& key = at.words[1];
  const SourceWord& first = at.words[2];
  const SourceWord& last = at.words.back();
  const std::string_view value = at.file.substr(first.offset, last.offset + last.size - first.offset);
  auto quoted = quoted_value(value);
  if (!quoted) return {};
  return {replace(key, last, fmt::format("{}={}", key.text, *quoted))};
}

Edits fix_json_args(const Place& at) {
  if (!at.one_line() || at.words.size() < 2 || !at.statement.flags.empty()) return {};
  std::vector<std::string> command;
  for (std::size_t i = 1; i < at.words.size(); ++i) command.push_back(at.words[i].text);
  auto json = json_command(std::move(command));
  if (!json) return {};
  return {replace(at.words[1], at.words.back(), *json)};
}

Edits fix_maintainer(const Place& at) {
  if (!at.one_line() || at.words.size() < 2) return {};
  const SourceWord& first = at.words[1];
  const SourceWord& last = at.words.back();
  auto value = quoted_text(at.file.substr(first.offset, last.offset + last.size - first.offset));
  if (!value) return {};
  const std::string& word = at.words.front().text;
  const char* label = word == to_lower(word) ? "label" : "LABEL";
  return {replace(at.words.front(), last, fmt::format("{} org.opencontainers.image.authors={}", label, *value))};
}

Edits fix_platform_flag(const Place& at) {
  for (std::size_t i = 1; i + 1 < at.words.size(); ++i) {
    if (!at.words[i].text.starts_with("--platform=")) continue;
    const std::size_t begin = at.words[i].offset;
    return {{begin, at.words[i + 1].offset - begin, ""}};
  }
  return {};
}

// Each port that `change` gives something for.
template <typename Change>
Edits each_port(const Place& at, Change change) {
  Edits out;
  for (std::size_t i = 1; i < at.words.size(); ++i) {
    const std::string& port = at.words[i].text;
    if (port.find_first_of("$\"'") != std::string::npos) continue;
    if (std::string now = change(port); now != port) out.push_back(replace(at.words[i], std::move(now)));
  }
  return out;
}

Edits fix_port_protocol(const Place& at) {
  return each_port(at, [](const std::string& port) {
    const std::size_t slash = port.find('/');
    return slash == std::string::npos ? port : port.substr(0, slash) + to_lower(port.substr(slash));
  });
}

Edits fix_port_mapping(const Place& at) {
  return each_port(at, [](const std::string& port) { return port.substr(port.rfind(':') + 1); });
}

struct Fixer {
  const LintRule& rule;
  std::vector<Keyword> keywords;  // that the rule is about; none: all
  Edits (*edits)(const Place& at);

  // A finding may point at the FROM whose base brought a trigger; the trigger's text is elsewhere.
  bool concerns(const Statement& statement) const {
    const auto keyword = find_keyword(statement.name);
    return keywords.empty() || (keyword && std::find(keywords.begin(), keywords.end(), *keyword) != keywords.end());
  }
};

const std::vector<Fixer>& fixers() {
  using namespace lint_rules;
  static const std::vector<Fixer> all = {{kConsistentInstructionCasing, {}, fix_keyword_casing},
                                         {kFromAsCasing, {Keyword::kFrom}, fix_as_casing},
                                         {kStageNameCasing, {Keyword::kFrom}, fix_stage_name},
                                         {kNoEmptyContinuation, {}, fix_empty_lines},
                                         {kLegacyKeyValueFormat, {Keyword::kEnv, Keyword::kLabel}, fix_key_value},
                                         {kJSONArgsRecommended, {Keyword::kCmd, Keyword::kEntrypoint}, fix_json_args},
                                         {kMaintainerDeprecated, {Keyword::kMaintainer}, fix_maintainer},
                                         {kRedundantTargetPlatform, {Keyword::kFrom}, fix_platform_flag},
                                         {kExposeProtoCasing, {Keyword::kExpose}, fix_port_protocol},
                                         {kExposeInvalidFormat, {Keyword::kExpose}, fix_port_mapping}};
  return all;
}

// The statement that a finding points at: by its first line, or, for rules that point there, its last.
const Statement* statement_of(const StatementList& list, int line) {
  for (const Statement& statement : list.statements) {
    if (statement.first_line <= line && line <= statement.last_line) return &statement;
  }
  return nullptr;
}

Edits edits_for(std::string_view text, const StatementList& list, const Finding& finding) {
  const Statement* statement = statement_of(list, finding.line());
  if (statement == nullptr) return {};
  for (const Fixer& fixer : fixers()) {
    if (fixer.rule.name != finding.rule || !fixer.concerns(*statement)) continue;
    Place at{text, finding, *statement, source_words(text, statement->first_line, statement->last_line, list.escape)};
    return at.words.empty() ? Edits() : fixer.edits(at);
  }
  return {};
}

std::string apply_edits(std::string_view text, const Edits& edits) {
  std::string out;
  std::size_t at = 0;
  for (const Edit& edit : edits) {
    out.append(text.substr(at, edit.offset - at)).append(edit.text);
    at = edit.offset + edit.size;
  }
  return out.append(text.substr(at));
}

bool overlap(const Edit& a, const Edit& b) { return a.offset < b.offset + b.size && b.offset < a.offset + a.size; }
bool same(const Edit& a, const Edit& b) { return a.offset == b.offset && a.size == b.size && a.text == b.text; }

}  // namespace

FixResult fix_findings(std::string_view text, const std::vector<Finding>& findings) {
  FixResult out{std::string(text), {}, {}};
  // A byte order mark shifts nothing: lines are counted from the file's first byte here as there.
  auto list = read_statements(text);
  Edits all;
  for (const Finding& finding : findings) {
    Edits edits = list.ok() ? edits_for(text, *list, finding) : Edits();
    std::erase_if(edits, [&](const Edit& edit) {
      return std::any_of(all.begin(), all.end(), [&](const Edit& other) { return same(edit, other); });
    });
    // Two answers for the same bytes: the second has to wait for another round.
    const bool clash = std::any_of(edits.begin(), edits.end(), [&](const Edit& edit) {
      return std::any_of(all.begin(), all.end(), [&](const Edit& other) { return overlap(edit, other); });
    });
    if (edits.empty() || clash) {
      out.left.push_back(finding);
      continue;
    }
    all.insert(all.end(), edits.begin(), edits.end());
    out.fixed.push_back(finding);
  }
  std::sort(all.begin(), all.end(), [](const Edit& a, const Edit& b) { return a.offset < b.offset; });
  out.text = apply_edits(text, all);
  return out;
}

}  // namespace kiln::frontend::dockerfile
