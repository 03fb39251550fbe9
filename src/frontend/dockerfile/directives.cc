#include "frontend/dockerfile/directives.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/letters.h"
#include "base/text.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr std::array<std::string_view, 3> kKnown = {"syntax", "escape", "check"};

bool alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// Key and value of `key = value`; an empty key when the text has another form.
std::pair<std::string, std::string_view> key_and_value(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size() && alphanumeric(text[size])) ++size;
  if (size == 0 || (text[0] >= '0' && text[0] <= '9')) return {};
  std::string_view rest = trim(text.substr(size));
  if (!rest.starts_with('=')) return {};
  rest = trim(rest.substr(1));
  if (rest.empty()) return {};
  return {to_lower(text.substr(0, size)), rest};
}

std::optional<Directive> find_with_comment(std::string_view name, std::string_view text, std::string_view comment,
                                           int lines_before) {
  DirectiveReader reader(comment, lines_before);
  for (std::string_view line : split(text, '\n')) {
    Result<std::optional<Directive>> directive = reader.read(line);
    if (!directive.ok() || reader.done()) break;
    if (*directive && (*directive)->name == name) return std::move(**directive);
  }
  return std::nullopt;
}

// The text without BOM and `#!` line, and how many lines that took.
std::pair<std::string_view, int> without_prologue(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (!text.starts_with("#!")) return {text, 0};
  return {split_once(text, '\n').second, 1};
}

}  // namespace

Result<std::optional<Directive>> DirectiveReader::read(std::string_view line) {
  ++line_;
  if (done_) return std::nullopt;
  auto [key, value] = line.starts_with(comment_) ? key_and_value(trim_leading_blanks(line.substr(comment_.size())))
                                                 : std::pair<std::string, std::string_view>();
  auto known = std::find(kKnown.begin(), kKnown.end(), key);
  if (known == kKnown.end()) {
    done_ = true;
    return std::nullopt;
  }
  bool& seen = seen_[known - kKnown.begin()];
  if (seen) {
    return with_ranges(user_error(Code::kInvalidArgument, fmt::format("only one {} parser directive can be used", key)),
                       lines(line_, line_));
  }
  seen = true;
  return Directive{key, std::string(value), std::string(split_once(value, ' ').first), lines(line_, line_)};
}

std::optional<Directive> find_directive(std::string_view name, std::string_view text) {
  auto [body, skipped] = without_prologue(text);
  return find_with_comment(name, body, "#", skipped);
}

std::optional<Directive> detect_syntax(std::string_view text) {
  auto [body, skipped] = without_prologue(text);
  if (auto found = find_with_comment("syntax", body, "#", skipped)) return found;
  if (auto found = find_with_comment("syntax", body, "//", skipped)) return found;
  if (!trim(body).starts_with('{')) return std::nullopt;
  nlohmann::json object = nlohmann::json::parse(body, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  auto syntax = object.find("syntax");
  if (syntax == object.end() || !syntax->is_string()) return std::nullopt;
  std::string value = syntax->get<std::string>();
  return Directive{"syntax", value, value, lines(skipped, skipped)};
}

}  // namespace kiln::frontend::dockerfile
