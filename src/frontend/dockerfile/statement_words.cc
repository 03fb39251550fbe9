// How each keyword's text falls into words: by blanks, by quotes, as name=value, as JSON, or not at
// all.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/letters.h"
#include "base/text.h"
#include "base/utf8_text.h"
#include "base/value.h"
#include "frontend/dockerfile/statement.h"

namespace kiln::frontend::dockerfile {
namespace {

bool narrow_blank(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r'; }

// The text up to the first run of blanks, and what stands behind it; nothing behind when there is
// none.
std::pair<std::string_view, std::optional<std::string_view>> cut_at_blanks(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && !narrow_blank(text[at])) ++at;
  if (at == text.size()) return {text, std::nullopt};
  std::size_t behind = at;
  while (behind < text.size() && narrow_blank(text[behind])) ++behind;
  return {text.substr(0, at), text.substr(behind)};
}

// Takes the leading `--flag` words off the text, without their quotes and escapes; `--` ends them.
std::vector<std::string> take_flags(std::string_view& text, char escape) {
  std::vector<std::string> flags;
  while (true) {
    std::string_view rest = text;
    while (!rest.empty() && narrow_blank(rest[0])) rest.remove_prefix(1);
    if (!rest.starts_with("--")) {
      text = rest;
      return flags;
    }
    std::string flag;
    char quote = 0;
    std::size_t at = 0;
    for (; at < rest.size(); ++at) {
      char c = rest[at];
      if (quote == 0 && is_blank(static_cast<unsigned char>(c)) && static_cast<unsigned char>(c) < 0x80) break;
      if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (quote != 0 && c == quote) {
        quote = 0;
      } else if (c == escape) {
        if (at + 1 < rest.size()) flag.push_back(rest[++at]);
      } else {
        flag.push_back(c);
      }
    }
    text = rest.substr(at);
    if (flag == "--") return flags;
    flags.push_back(std::move(flag));
  }
}

// Words between blanks; quotes and escapes guard blanks and stay in the words.
std::vector<std::string> quoted_words(std::string_view text, char escape) {
  std::vector<std::string> words;
  while (true) {
    text = trim_leading_blanks(text);
    if (text.empty()) return words;
    std::string word;
    char quote = 0;
    while (!text.empty()) {
      Rune c = decode_rune(text);
      if (quote == 0 && is_blank(c.value)) break;
      if (c.value == static_cast<unsigned char>(escape) && quote != '\'') {
        if (text.size() == c.size) {  // an escape at the very end is dropped
          text = {};
          break;
        }
        c.size += decode_rune(text.substr(c.size)).size;
      } else if (c.value == '"' || c.value == '\'') {
        if (quote == 0) {
          quote = static_cast<char>(c.value);
        } else if (quote == static_cast<char>(c.value)) {
          quote = 0;
        }
      }
      word.append(text.substr(0, c.size));
      text.remove_prefix(c.size);
    }
    if (!word.empty()) words.push_back(std::move(word));
  }
}

std::vector<std::string> blank_separated(std::string_view text) {
  std::vector<std::string> words;
  if (text.empty()) return words;
  for (std::optional<std::string_view> rest = text; rest;) {
    auto [word, behind] = cut_at_blanks(*rest);
    words.emplace_back(word);
    rest = behind;
  }
  return words;
}

// Fills words from a JSON array of strings; false when the text is not one and must be read
// otherwise.
Result<bool> take_json(std::string_view text, std::vector<std::string>& words) {
  text = trim_leading_blanks(text);
  if (!text.starts_with('[')) return false;
  nlohmann::json array = nlohmann::json::parse(to_valid_utf8(text), nullptr, false);
  if (!array.is_array()) return false;
  for (const nlohmann::json& item : array) {
    if (!item.is_string()) {
      return word_fault(item.dump(), "when using JSON array syntax, arrays must be comprised of strings only");
    }
    words.push_back(item.get<std::string>());
  }
  return true;
}

Status take_pairs(Statement& statement, std::string_view text, char escape) {
  std::vector<std::string> words = quoted_words(text, escape);
  if (words.empty()) return ok();
  if (words[0].find('=') == std::string::npos) {
    auto [name, value] = cut_at_blanks(text);
    if (!value)
      return word_fault(name, fmt::format("{0} must have two arguments: {0} <name>=<value>", to_upper(statement.name)));
    statement.words = {std::string(name), std::string(*value), ""};
    return ok();
  }
  for (const std::string& word : words) {
    if (word.find('=') == std::string::npos) {
      return word_fault(word,
                        fmt::format("Syntax error - can't find = in {}. Must be of the form: name=value", quote(word)));
    }
    auto [name, value] = split_once(word, '=');
    statement.words.insert(statement.words.end(), {std::string(name), std::string(value), "="});
  }
  return ok();
}

Status take_text_or_json(Statement& statement, std::string_view text) {
  KILN_ASSIGN_OR_RETURN(statement.json, take_json(text, statement.words));
  if (!statement.json && !text.empty()) statement.words.emplace_back(text);
  return ok();
}

Result<Statement> parse_nested(std::string_view line, char escape, int depth);

Status take_words(Statement& statement, Keyword keyword, std::string_view text, char escape, int depth) {
  switch (keyword) {
    case Keyword::kAdd:
    case Keyword::kCopy:
    case Keyword::kVolume: {
      KILN_ASSIGN_OR_RETURN(statement.json, take_json(text, statement.words));
      if (!statement.json) statement.words = blank_separated(text);
      return ok();
    }
    case Keyword::kRun:
    case Keyword::kCmd:
    case Keyword::kEntrypoint:
    case Keyword::kShell: return take_text_or_json(statement, text);
    case Keyword::kHealthcheck: {
      if (text.empty()) return ok();
      auto [kind, command] = cut_at_blanks(text);
      statement.words.emplace_back(kind);
      return take_text_or_json(statement, command.value_or(""));
    }
    case Keyword::kArg: statement.words = quoted_words(text, escape); return ok();
    case Keyword::kEnv:
    case Keyword::kLabel: return take_pairs(statement, text, escape);
    case Keyword::kExpose:
    case Keyword::kFrom: statement.words = blank_separated(text); return ok();
    case Keyword::kMaintainer:
    case Keyword::kStopSignal:
    case Keyword::kUser:
    case Keyword::kWorkdir:
      if (!text.empty()) statement.words.emplace_back(text);
      return ok();
    case Keyword::kOnbuild: {
      if (text.empty()) return ok();
      KILN_ASSIGN_OR_RETURN(Statement trigger, parse_nested(text, escape, depth + 1));
      statement.trigger = std::make_unique<Statement>(std::move(trigger));
      statement.words = {statement.trigger->name};
      statement.words.insert(statement.words.end(), statement.trigger->words.begin(), statement.trigger->words.end());
      return ok();
    }
  }
  return ok();
}

Result<Statement> parse_nested(std::string_view line, char escape, int depth) {
  // A trigger of a trigger is refused when instructions are made; deeper ones need not be read.
  static constexpr int kDepthMax = 2;
  Statement statement;
  statement.text = line;
  auto [name, rest] = cut_at_blanks(trim_blanks(line));
  statement.name = name;
  std::string_view text = rest.value_or("");
  statement.flags = take_flags(text, escape);
  text = trim_blanks(text);
  std::optional<Keyword> keyword = find_keyword(name);
  if (keyword && depth <= kDepthMax) KILN_RETURN_IF_ERROR(take_words(statement, *keyword, text, escape, depth));
  return statement;
}

}  // namespace

Result<Statement> parse_statement(std::string_view line, char escape) { return parse_nested(line, escape, 0); }

}  // namespace kiln::frontend::dockerfile
