#include "base/filter.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

namespace kiln {

enum class Comparison { kPresent, kEqual, kNotEqual, kMatches };

struct Filter::Selector {
  std::vector<std::string> path;
  Comparison comparison = Comparison::kPresent;
  std::string value;
  std::unique_ptr<RE2> pattern;
};

namespace {

bool is_quote(char c) { return c == '"' || c == '\'' || c == '`'; }
bool is_field_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Reads one expression from the left.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ >= text_.size(); }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }

  Result<std::string> field() {
    if (!at_end() && is_quote(text_[at_])) return quoted();
    std::size_t end = at_;
    while (end < text_.size() && is_field_char(text_[end])) ++end;
    if (end == at_) return error("expected field or quoted");
    return slice_to(end);
  }

  Result<std::string> value() {
    if (!at_end() && is_quote(text_[at_])) return quoted();
    std::size_t end = at_;
    while (end < text_.size() && text_[end] != ',' && text_[end] != ' ') ++end;
    if (end == at_) return error("expected value or quoted");
    return slice_to(end);
  }

  Status error(std::string_view what) const {
    return user_error(Code::kInvalidArgument,
                      fmt::format("filters: parse error: '{}' at position {}: {}", text_, at_, what));
  }

 private:
  std::string slice_to(std::size_t end) {
    std::string out(text_.substr(at_, end - at_));
    at_ = end;
    return out;
  }

  Result<std::string> quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && quote != '`' && at_ + 1 < text_.size()) {
        ++at_;
        const char c = text_[at_];
        out += c == 'n' ? '\n' : c == 't' ? '\t' : c;
      } else {
        out += text_[at_];
      }
      ++at_;
    }
    if (at_ >= text_.size()) return error("quote is not closed");
    ++at_;
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<Filter> Filter::parse(std::string_view expression) {
  Filter filter;
  if (expression.empty()) return filter;
  Reader reader(expression);
  Conjunction all;
  do {
    auto selector = std::make_shared<Selector>();
    do {
      KILN_ASSIGN_OR_RETURN(std::string field, reader.field());
      selector->path.push_back(std::move(field));
    } while (reader.take("."));
    if (reader.take("==")) {
      selector->comparison = Comparison::kEqual;
    } else if (reader.take("!=")) {
      selector->comparison = Comparison::kNotEqual;
    } else if (reader.take("~=")) {
      selector->comparison = Comparison::kMatches;
    }
    if (selector->comparison != Comparison::kPresent) {
      KILN_ASSIGN_OR_RETURN(selector->value, reader.value());
    }
    if (selector->comparison == Comparison::kMatches) {
      selector->pattern = std::make_unique<RE2>(selector->value, RE2::Quiet);
      if (!selector->pattern->ok()) return reader.error(selector->pattern->error());
    }
    all.push_back(std::move(selector));
  } while (reader.take(","));
  if (!reader.at_end()) return reader.error("expected an operator (\"==\", \"!=\", \"~=\") or ','");
  filter.any_.push_back(std::move(all));
  return filter;
}

Result<Filter> Filter::parse_any(const std::vector<std::string>& expressions) {
  Filter filter;
  bool everything = false;
  for (const std::string& expression : expressions) {
    KILN_ASSIGN_OR_RETURN(Filter one, parse(expression));
    if (one.any_.empty()) everything = true;
    for (auto& all : one.any_) filter.any_.push_back(std::move(all));
  }
  if (everything) filter.any_.clear();
  return filter;
}

bool Filter::matches(const Fields& fields) const {
  if (any_.empty()) return true;
  const auto one = [&](const std::shared_ptr<const Selector>& selector) {
    const std::optional<std::string> value = fields(selector->path);
    switch (selector->comparison) {
      case Comparison::kPresent: return value && !value->empty();
      case Comparison::kEqual: return value && *value == selector->value;
      case Comparison::kNotEqual: return value.value_or("") != selector->value;
      case Comparison::kMatches: return value && RE2::PartialMatch(*value, *selector->pattern);
    }
    return false;
  };
  for (const Conjunction& all : any_) {
    if (std::all_of(all.begin(), all.end(), one)) return true;
  }
  return false;
}

}  // namespace kiln
