#include "content/json_text.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/json_text.h"

namespace kiln::content {
namespace {

bool is_line_separator(std::string_view sequence) { return sequence == "\xe2\x80\xa8" || sequence == "\xe2\x80\xa9"; }

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// End of the JSON string that starts at `at` (a quote); npos when it does not end.
std::size_t string_end(std::string_view json, std::size_t at) {
  for (std::size_t i = at + 1; i < json.size(); ++i) {
    if (json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// End of the JSON value that starts at `at`; npos when brackets do not match.
std::size_t value_end(std::string_view json, std::size_t at) {
  int depth = 0;
  std::size_t i = at;
  while (i < json.size()) {
    char c = json[i];
    if (c == '"') {
      i = string_end(json, i);
      if (i == std::string_view::npos) return i;
      if (depth == 0) return i;
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') {
      if (depth == 0) return i;
      if (--depth == 0) return i + 1;
    }
    if (depth == 0 && (c == ',' || is_blank(c))) return i;
    ++i;
  }
  return depth == 0 ? i : std::string_view::npos;
}

// The plain text of a JSON string literal; keys with escapes beyond the simple ones are rare, and
// \u escapes above ASCII stay as they are.
std::string unquote(std::string_view literal) {
  std::string out;
  for (std::size_t i = 1; i + 1 < literal.size(); ++i) {
    if (literal[i] != '\\') {
      out += literal[i];
      continue;
    }
    char c = literal[++i];
    if (c == 'u' && i + 4 < literal.size() && literal.substr(i + 1, 2) == "00") {
      out += static_cast<char>(std::stoi(std::string(literal.substr(i + 3, 2)), nullptr, 16));
      i += 4;
    } else {
      constexpr std::string_view kFrom = "bfnrt", kTo = "\b\f\n\r\t";
      auto found = kFrom.find(c);
      out += found == std::string_view::npos ? c : kTo[found];
    }
  }
  return out;
}

Status not_an_object() { return peer_error(Code::kFailedPrecondition, "not a JSON object"); }

}  // namespace

std::string json_compact(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    char c = json[i];
    if (!in_string && is_blank(c)) continue;
    if (c == '<' || c == '>' || c == '&') {
      out += fmt::format("\\u{:04x}", c);
      continue;
    }
    if (in_string && is_line_separator(json.substr(i, 3))) {
      out += json[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
      continue;
    }
    out += c;
    if (in_string && c == '\\' && i + 1 < json.size()) {
      out += json[++i];
    } else if (c == '"') {
      in_string = !in_string;
    }
  }
  return out;
}

Result<std::vector<std::pair<std::string, std::string>>> json_members(std::string_view json) {
  std::vector<std::pair<std::string, std::string>> members;
  std::size_t i = 0;
  auto skip = [&] {
    while (i < json.size() && is_blank(json[i])) ++i;
    return i < json.size() ? json[i] : '\0';
  };
  if (skip() != '{') return not_an_object();
  ++i;
  if (skip() == '}') return members;
  while (true) {
    if (skip() != '"') return not_an_object();
    std::size_t end = string_end(json, i);
    if (end == std::string_view::npos) return not_an_object();
    std::string key = unquote(json.substr(i, end - i));
    i = end;
    if (skip() != ':') return not_an_object();
    ++i;
    skip();
    end = value_end(json, i);
    if (end == std::string_view::npos || end == i) return not_an_object();
    members.emplace_back(std::move(key), std::string(json.substr(i, end - i)));
    i = end;
    char next = skip();
    ++i;
    if (next == '}') return members;
    if (next != ',') return not_an_object();
  }
}

void JsonWriter::newline() {
  if (layout_ == JsonLayout::kCompact) return;
  text_ += '\n';
  text_.append(has_items_.size() * 2, ' ');
}

void JsonWriter::before_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_items_.empty()) return;
  if (has_items_.back()) text_ += ',';
  has_items_.back() = true;
  newline();
}

void JsonWriter::close(char bracket) {
  KILN_CHECK(!has_items_.empty());
  bool items = has_items_.back();
  has_items_.pop_back();
  if (items) newline();
  text_ += bracket;
}

void JsonWriter::begin_object() {
  before_value();
  text_ += '{';
  has_items_.push_back(false);
}

void JsonWriter::begin_array() {
  before_value();
  text_ += '[';
  has_items_.push_back(false);
}

void JsonWriter::end_object() { close('}'); }
void JsonWriter::end_array() { close(']'); }

void JsonWriter::key(std::string_view name) {
  before_value();
  append_json_string(text_, name);
  text_ += layout_ == JsonLayout::kCompact ? ":" : ": ";
  after_key_ = true;
}

void JsonWriter::string(std::string_view value) {
  before_value();
  append_json_string(text_, value);
}

void JsonWriter::integer(std::int64_t value) {
  before_value();
  text_ += std::to_string(value);
}

void JsonWriter::boolean(bool value) {
  before_value();
  text_ += value ? "true" : "false";
}

void JsonWriter::null() {
  before_value();
  text_ += "null";
}

void JsonWriter::raw(std::string_view json) {
  before_value();
  std::string compact = json_compact(json);
  if (layout_ == JsonLayout::kCompact) {
    text_ += compact;
    return;
  }
  // Re-indent: brackets and commas outside strings break lines, empty brackets stay together.
  std::size_t depth = has_items_.size();
  auto line = [&] { text_ += '\n' + std::string(depth * 2, ' '); };
  for (std::size_t i = 0; i < compact.size(); ++i) {
    char c = compact[i];
    if (c == '"') {
      std::size_t end = string_end(compact, i);
      if (end == std::string_view::npos) end = compact.size();
      text_.append(compact, i, end - i);
      i = end - 1;
    } else if (c == '{' || c == '[') {
      text_ += c;
      if (i + 1 < compact.size() && (compact[i + 1] == '}' || compact[i + 1] == ']')) {
        text_ += compact[++i];
      } else {
        ++depth;
        line();
      }
    } else if (c == '}' || c == ']') {
      if (depth > 0) --depth;
      line();
      text_ += c;
    } else {
      text_ += c;
      if (c == ',') line();
      if (c == ':') text_ += ' ';
    }
  }
}

void JsonWriter::string_if(std::string_view name, std::string_view value) {
  if (value.empty()) return;
  key(name);
  string(value);
}

void JsonWriter::strings_if(std::string_view name, const std::vector<std::string>& values) {
  if (values.empty()) return;
  key(name);
  begin_array();
  for (const auto& value : values) string(value);
  end_array();
}

void JsonWriter::map_if(std::string_view name, const StringMap& values) {
  if (values.empty()) return;
  key(name);
  begin_object();
  for (const auto& [k, v] : values) {
    key(k);
    string(v);
  }
  end_object();
}

}  // namespace kiln::content
