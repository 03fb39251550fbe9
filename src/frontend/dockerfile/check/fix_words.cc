#include "frontend/dockerfile/check/fix_words.h"

#include <algorithm>

#include "base/text.h"

namespace kiln::frontend::dockerfile {
namespace {

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
}

// Words that only a shell can do.
bool is_shell_word(std::string_view word) {
  static constexpr std::string_view kWords[] = {
      ".",    "alias", "bg",   "break", "case",   "cd",    "command", "continue", "declare", "eval", "exit",  "export",
      "fg",   "for",   "if",   "jobs",  "let",    "local", "read",    "readonly", "return",  "set",  "shift", "source",
      "time", "times", "trap", "type",  "ulimit", "umask", "unalias", "unset",    "until",   "wait", "while"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

bool in_double_quotes(std::string_view text) {
  return text.size() >= 2 && text.front() == '"' && text.back() == '"' &&
         text.substr(1, text.size() - 2).find_first_of("\"\\`") == std::string_view::npos;
}

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

std::optional<std::string> quoted_value(std::string_view value) {
  if (in_double_quotes(value)) return std::string(value);
  if (value.find_first_of("\"'\\`") != std::string_view::npos) return std::nullopt;
  if (value.find_first_of(" \t") == std::string_view::npos) return std::string(value);
  return in_quotes(value);
}

std::optional<std::string> quoted_text(std::string_view text) {
  if (in_double_quotes(text) && text.find('$') == std::string_view::npos) return std::string(text);
  if (text.find_first_of("\"'\\`$") != std::string_view::npos) return std::nullopt;
  return in_quotes(text);
}

std::optional<std::string> json_command(std::vector<std::string> words) {
  if (!words.empty() && words.front() == "exec") words.erase(words.begin());  // that is what the array does
  if (words.empty() || is_shell_word(words.front()) || words.front().find('=') != std::string::npos)
    return std::nullopt;
  std::string out = "[";
  for (const std::string& word : words) {
    if (!std::all_of(word.begin(), word.end(), plain)) return std::nullopt;
    out += (out.size() == 1 ? "" : ", ") + in_quotes(word);
  }
  return out + "]";
}

}  // namespace kiln::frontend::dockerfile
