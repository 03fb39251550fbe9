#include "sandbox/plain_yaml.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "base/text.h"

namespace kiln::sandbox {
namespace {

using Json = nlohmann::json;
constexpr int kDepthMax = 64;

struct Line {
  int number;
  std::size_t indent;
  std::string text;  // without indentation, comment and trailing blanks
};

// Where a comment begins outside quotes, or the end.
std::size_t comment_start(std::string_view text) {
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == '\\' && quote == '"')
        ++i;
      else if (c == quote)
        quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t')) {
      return i;
    }
  }
  return text.size();
}

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> out;
  int number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    std::string_view content = line.substr(0, comment_start(line));
    const std::size_t indent = std::min(content.find_first_not_of(' '), content.size());
    content = trim(content);
    if (content.empty() || content == "---" || content == "...") continue;
    out.push_back({number, indent, std::string(content)});
  }
  return out;
}

// After which colon the value of "key: value" begins; npos when the text is no mapping entry.
std::size_t key_end(std::string_view text) {
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if ((c == '"' || c == '\'') && i == 0) {
      quote = c;
    } else if (c == ':' && (i + 1 == text.size() || text[i + 1] == ' ')) {
      return i;
    }
  }
  return std::string_view::npos;
}

class Parser {
 public:
  explicit Parser(std::vector<Line> lines) : lines_(std::move(lines)) {}

  Result<Json> parse() {
    if (lines_.empty()) return Json::object();
    KILN_ASSIGN_OR_RETURN(Json value, block(lines_[0].indent, 0));
    if (at_ != lines_.size()) return fault("unexpected indentation");
    return value;
  }

 private:
  Status fault(std::string_view what) const {
    const int number = at_ < lines_.size() ? lines_[at_].number : 0;
    return user_error(Code::kInvalidArgument, fmt::format("line {}: {}", number, what));
  }
  bool is_item() const { return lines_[at_].text == "-" || lines_[at_].text.starts_with("- "); }

  Result<Json> block(std::size_t indent, int depth) {
    if (depth > kDepthMax) return fault("nested too deeply");
    if (is_item()) return list(indent, depth);
    if (key_end(lines_[at_].text) != std::string_view::npos) return mapping(indent, depth);
    return scalar(lines_[at_++].text);
  }

  Result<Json> list(std::size_t indent, int depth) {
    Json out = Json::array();
    while (at_ < lines_.size() && lines_[at_].indent == indent && is_item()) {
      Line& line = lines_[at_];
      std::string_view rest = trim(std::string_view(line.text).substr(1));
      if (rest.empty()) {
        ++at_;
        if (at_ >= lines_.size() || lines_[at_].indent <= indent) {
          out.push_back(nullptr);
          continue;
        }
        KILN_ASSIGN_OR_RETURN(Json item, block(lines_[at_].indent, depth + 1));
        out.push_back(std::move(item));
        continue;
      }
      // What follows the dash begins a block of its own, as deep as it stands.
      line.indent += line.text.size() - rest.size();
      line.text = std::string(rest);
      KILN_ASSIGN_OR_RETURN(Json item, block(line.indent, depth + 1));
      out.push_back(std::move(item));
    }
    return out;
  }

  Result<Json> mapping(std::size_t indent, int depth) {
    Json out = Json::object();
    while (at_ < lines_.size() && lines_[at_].indent == indent && !is_item()) {
      const std::string text = lines_[at_].text;
      const std::size_t colon = key_end(text);
      if (colon == std::string_view::npos) return fault("expected 'key: value'");
      KILN_ASSIGN_OR_RETURN(Json key, scalar(std::string_view(text).substr(0, colon)));
      const std::string name = key.is_string() ? key.get<std::string>() : key.dump();
      const std::string_view value = trim(std::string_view(text).substr(colon + 1));
      if (!value.empty()) {
        KILN_ASSIGN_OR_RETURN(out[name], scalar(value));
        ++at_;
        continue;
      }
      ++at_;
      const bool nested =
          at_ < lines_.size() && (lines_[at_].indent > indent || (lines_[at_].indent == indent && is_item()));
      if (!nested) {
        out[name] = nullptr;
        continue;
      }
      KILN_ASSIGN_OR_RETURN(out[name], block(lines_[at_].indent, depth + 1));
    }
    return out;
  }

  Result<Json> scalar(std::string_view text) {
    text = trim(text);
    if (text.empty()) return Json(nullptr);
    if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'') {
      return Json(replace_all(std::string(text.substr(1, text.size() - 2)), "''", "'"));
    }
    // Numbers, true, false, null, "…", […] and {…} are JSON; octal modes and the rest are words.
    const bool octal = text.size() > 1 && text[0] == '0';
    if (!octal) {
      Json value = Json::parse(text, nullptr, false);
      if (!value.is_discarded()) return value;
    }
    if (text == "~") return Json(nullptr);
    const bool words_listed = text.size() >= 2 && text.front() == '[' && text.back() == ']' &&
                              text.find_first_of("[]{}", 1) == text.size() - 1;
    if (words_listed) {  // [ro, rbind]
      Json out = Json::array();
      for (std::string_view item : split(text.substr(1, text.size() - 2), ',')) {
        KILN_ASSIGN_OR_RETURN(Json value, scalar(item));
        out.push_back(std::move(value));
      }
      return out;
    }
    if (text.front() == '"' || text.front() == '[' || text.front() == '{') return fault("broken value");
    return Json(std::string(text));
  }

  std::vector<Line> lines_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::unique_ptr<nlohmann::json>> parse_plain_yaml(std::string_view text) {
  Json whole = Json::parse(text, nullptr, false);
  if (!whole.is_discarded()) return std::make_unique<Json>(std::move(whole));
  KILN_ASSIGN_OR_RETURN(Json value, Parser(lines_of(text)).parse());
  return std::make_unique<Json>(std::move(value));
}

}  // namespace kiln::sandbox
