#include "client/go_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "base/text.h"
#include "base/value.h"

namespace kiln::client {

using Json = nlohmann::ordered_json;

// Text, an expression, or a block with a body and an alternative.
struct GoTemplate::Node {
  enum class Kind { kText, kValue, kRange, kIf, kWith, kList };
  Kind kind = Kind::kList;
  std::string text;                    // of text
  std::vector<std::string> words;      // of an expression, or of a block's
  std::vector<std::string> variables;  // that the value is given to: "$x", of a range also "$i", "$x"
  std::vector<Node> body;
  std::vector<Node> otherwise;
};

namespace {

using Node = GoTemplate::Node;

Status fault(std::string message) { return user_error(Code::kInvalidArgument, fmt::format("template: {}", message)); }

std::string unquoted(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    char c = text[++i];
    out.push_back(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
  }
  return out;
}

// Words of an action; a string literal becomes a word that begins with a double quote. Parentheses and the comma
// between variables are words of their own.
Result<std::vector<std::string>> words_of(std::string_view action) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < action.size();) {
    char c = action[i];
    if (c == ' ' || c == '\t' || c == '\n') {
      ++i;
    } else if (c == '"' || c == '`') {
      std::size_t end = i + 1;
      while (end < action.size() && action[end] != c) end += c == '"' && action[end] == '\\' ? 2 : 1;
      if (end >= action.size()) return fault("a string has no end");
      std::string_view body = action.substr(i + 1, end - i - 1);
      out.push_back("\"" + (c == '"' ? unquoted(body) : std::string(body)));
      i = end + 1;
    } else if (c == '(' || c == ')' || c == ',' || c == '|') {
      out.emplace_back(1, c);
      ++i;
    } else {
      std::size_t end = std::min(action.find_first_of(" \t\n\"`(),|", i), action.size());
      out.emplace_back(action.substr(i, end - i));
      i = end;
    }
  }
  return out;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  // A list up to {{end}} or {{else}} (told by `ended_by`), or the end of the text.
  Result<std::vector<Node>> list(std::string& ended_by, int depth) {
    if (depth > 100) return fault("blocks are nested too deeply");
    std::vector<Node> out;
    while (!rest_.empty()) {
      KILN_ASSIGN_OR_RETURN(std::optional<std::vector<std::string>> action, next_action(out));
      if (!action) break;
      if (action->empty() || (*action)[0].starts_with("/*")) continue;
      const std::string& word = (*action)[0];
      if (word == "end" || word == "else") {
        ended_by = word;
        else_words_.assign(action->begin() + 1, action->end());
        return out;
      }
      KILN_ASSIGN_OR_RETURN(Node node, action_node(*std::move(action), depth));
      out.push_back(std::move(node));
    }
    ended_by.clear();
    return out;
  }

 private:
  // Adds the text before the next action to `out`; the action's words, or nothing at the end.
  Result<std::optional<std::vector<std::string>>> next_action(std::vector<Node>& out) {
    std::size_t open = rest_.find("{{");
    std::string_view text = rest_.substr(0, open);
    if (trim_next_) text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    trim_next_ = false;
    if (open == std::string_view::npos) {
      add_text(out, text);
      rest_ = {};
      return std::nullopt;
    }
    std::string_view action = rest_.substr(open + 2);
    std::size_t close = action.find("}}");
    if (close == std::string_view::npos) return fault("unclosed action");
    rest_ = action.substr(close + 2);
    action = action.substr(0, close);
    if (action.starts_with("- ")) {
      text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
      action.remove_prefix(2);
    }
    if (action.ends_with(" -")) {
      trim_next_ = true;
      action.remove_suffix(2);
    }
    add_text(out, text);
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> words, words_of(action));
    return words;
  }

  static void add_text(std::vector<Node>& out, std::string_view text) {
    if (!text.empty()) out.push_back({Node::Kind::kText, std::string(text), {}, {}, {}});
  }

  Result<Node> action_node(std::vector<std::string> words, int depth) {
    Node node;
    if (words[0] == "range" || words[0] == "if" || words[0] == "with") {
      node.kind = words[0] == "range" ? Node::Kind::kRange : words[0] == "if" ? Node::Kind::kIf : Node::Kind::kWith;
      node.words.assign(words.begin() + 1, words.end());
      take_variables(node);
      if (node.words.empty()) return fault(fmt::format("missing value for {}", words[0]));
      std::string ended_by;
      KILN_ASSIGN_OR_RETURN(node.body, list(ended_by, depth + 1));
      if (ended_by == "else" && !else_words_.empty()) {
        // {{else if Y}}: a block of its own, which our end closes.
        KILN_ASSIGN_OR_RETURN(Node other, action_node(std::exchange(else_words_, {}), depth + 1));
        node.otherwise.push_back(std::move(other));
        return node;
      }
      if (ended_by == "else") {
        KILN_ASSIGN_OR_RETURN(node.otherwise, list(ended_by, depth + 1));
      }
      if (ended_by != "end") return fault(fmt::format("{} has no end", words[0]));
      return node;
    }
    node.kind = Node::Kind::kValue;
    node.words = std::move(words);
    take_variables(node);
    return node;
  }

  // "$i , $e := X" and "$x = X".
  static void take_variables(Node& node) {
    auto sign =
        std::find_if(node.words.begin(), node.words.end(), [](auto& word) { return word == ":=" || word == "="; });
    if (sign == node.words.end()) return;
    for (auto word = node.words.begin(); word != sign; ++word) {
      if (word->starts_with('$')) node.variables.push_back(*word);
    }
    node.words.erase(node.words.begin(), sign + 1);
  }

  std::string_view rest_;
  bool trim_next_ = false;
  std::vector<std::string> else_words_;  // what stood behind the last {{else}}
};

// What is printed of a value: all but its silent fields.
Json printed(const Json& value) {
  if (!value.is_structured()) return value;
  Json out = value;
  if (out.is_object()) out.erase(std::string(kSilentFields));
  for (auto& item : out) item = printed(item);
  return out;
}

// As Go prints a value with %v.
std::string shown(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "<nil>";
  if (value.is_array()) {
    std::vector<std::string> items;
    for (const Json& item : value) items.push_back(shown(item));
    return "[" + join(items, " ") + "]";
  }
  if (value.is_object()) {
    std::vector<std::string> items;
    for (const auto& [key, item] : value.items()) {
      if (key != kSilentFields) items.push_back(key + ":" + shown(item));
    }
    return "map[" + join(items, " ") + "]";
  }
  return value.dump();
}

bool truth(const Json& value) {
  if (value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

using Words = std::span<const std::string>;

class Renderer {
 public:
  explicit Renderer(const Json& root) { variables_.emplace_back("$", root); }

  Status list(const std::vector<Node>& nodes, const Json& dot) {
    const std::size_t outer = variables_.size();
    for (const Node& node : nodes) KILN_RETURN_IF_ERROR(render(node, dot));
    variables_.resize(outer);
    return ok();
  }
  std::string out;

 private:
  Status render(const Node& node, const Json& dot) {
    if (node.kind == Node::Kind::kText) {
      out += node.text;
      return ok();
    }
    KILN_ASSIGN_OR_RETURN(Json value, pipeline(node.words, dot));
    const std::size_t outer = variables_.size();
    if (node.kind == Node::Kind::kRange) return range(node, value, dot);
    if (!node.variables.empty()) variables_.emplace_back(node.variables.back(), value);
    if (node.kind == Node::Kind::kValue) {
      if (node.variables.empty()) out += shown(value);
      return ok();
    }
    const bool with = node.kind == Node::Kind::kWith;
    KILN_RETURN_IF_ERROR(truth(value) ? list(node.body, with ? value : dot) : list(node.otherwise, dot));
    variables_.resize(outer);
    return ok();
  }

  Status range(const Node& node, const Json& value, const Json& dot) {
    if (value.is_null() || (value.is_structured() && printed(value).empty())) return list(node.otherwise, dot);
    if (!value.is_structured()) return fault(fmt::format("range can't iterate over {}", shown(value)));
    std::int64_t index = 0;
    for (const auto& [key, item] : value.items()) {
      if (key == kSilentFields) continue;
      const std::size_t outer = variables_.size();
      Json number = value.is_array() ? Json(index++) : Json(key);
      if (node.variables.size() > 1) variables_.emplace_back(node.variables[0], std::move(number));
      if (!node.variables.empty()) variables_.emplace_back(node.variables.back(), item);
      KILN_RETURN_IF_ERROR(list(node.body, item));
      variables_.resize(outer);
    }
    return ok();
  }

  // Where the parenthesis that opens at `open` closes.
  static Result<std::size_t> closing(Words words, std::size_t open) {
    int depth = 0;
    for (std::size_t i = open; i < words.size(); ++i) {
      if (words[i] == "(") ++depth;
      if (words[i] == ")" && --depth == 0) return i;
    }
    return fault("unclosed left paren");
  }

  // Calls joined by bars: each one's value is the last argument of the next.
  Result<Json> pipeline(Words words, const Json& dot) {
    std::optional<Json> piped;
    for (std::size_t start = 0, i = 0;; ++i) {
      if (i < words.size() && words[i] == "(") {
        KILN_ASSIGN_OR_RETURN(i, closing(words, i));
        continue;
      }
      if (i < words.size() && words[i] != "|") continue;
      if (start >= i) return fault("missing value in a pipeline");
      KILN_ASSIGN_OR_RETURN(piped, call(words.subspan(start, i - start), dot, piped));
      if (i >= words.size()) return *piped;
      start = i + 1;
    }
  }

  // Operands in order; a parenthesis is one, also where a field of its value is meant.
  Result<std::vector<Json>> operands(Words words, const Json& dot) {
    std::vector<Json> out;
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] != "(") {
        KILN_ASSIGN_OR_RETURN(Json value, operand(words[i], dot));
        out.push_back(std::move(value));
        continue;
      }
      KILN_ASSIGN_OR_RETURN(std::size_t end, closing(words, i));
      KILN_ASSIGN_OR_RETURN(Json value, pipeline(words.subspan(i + 1, end - i - 1), dot));
      i = end;
      if (i + 1 < words.size() && words[i + 1].starts_with('.')) {
        KILN_ASSIGN_OR_RETURN(value, field(value, words[i + 1], words[i + 1]));
        ++i;
      }
      out.push_back(std::move(value));
    }
    return out;
  }

  Result<Json> call(Words words, const Json& dot, const std::optional<Json>& piped) {
    static constexpr std::string_view kFunctions[] = {
        "json", "len", "index", "printf", "println", "print", "not", "and", "or", "eq", "ne", "lt", "le", "gt", "ge"};
    bool is_function = std::find(std::begin(kFunctions), std::end(kFunctions), words[0]) != std::end(kFunctions);
    KILN_ASSIGN_OR_RETURN(std::vector<Json> arguments, operands(is_function ? words.subspan(1) : words, dot));
    if (!is_function) {
      if (arguments.size() != 1 || piped) return fault(fmt::format("can't give argument to non-function {}", words[0]));
      return arguments[0];
    }
    if (piped) arguments.push_back(*piped);
    return apply(words[0], arguments);
  }

  static Result<Json> compare(const std::string& name, const std::vector<Json>& arguments) {
    if (arguments.size() < 2) return fault(fmt::format("wrong number of arguments for {}", name));
    const Json left = printed(arguments[0]), right = printed(arguments[1]);
    if (name == "eq") {
      return Json(
          std::any_of(arguments.begin() + 1, arguments.end(), [&](const Json& one) { return printed(one) == left; }));
    }
    if (name == "ne") return Json(left != right);
    const bool ordered = (left.is_number() && right.is_number()) || (left.is_string() && right.is_string());
    if (!ordered) return fault("incompatible types for comparison");
    return Json(name == "lt"   ? left < right
                : name == "le" ? left <= right
                : name == "gt" ? left > right
                               : left >= right);
  }

  static Result<Json> apply(const std::string& name, const std::vector<Json>& arguments) {
    if (name == "print" || name == "println") {
      std::vector<std::string> texts;
      for (const Json& argument : arguments) texts.push_back(shown(argument));
      return Json(join(texts, " ") + (name == "println" ? "\n" : ""));
    }
    if (name == "printf") return format(arguments);
    if (name == "and" || name == "or") {
      if (arguments.empty()) return fault(fmt::format("wrong number of arguments for {}", name));
      for (const Json& argument : arguments) {
        if (truth(argument) == (name == "or")) return argument;
      }
      return arguments.back();
    }
    if (name.size() == 2) return compare(name, arguments);
    if (arguments.size() != (name == "index" ? 2u : 1u))
      return fault(fmt::format("wrong number of arguments for {}", name));
    if (name == "json") return Json(printed(arguments[0]).dump(-1, ' ', false, Json::error_handler_t::replace));
    if (name == "not") return Json(!truth(arguments[0]));
    if (name == "len") {
      if (arguments[0].is_string()) return Json(arguments[0].get_ref<const std::string&>().size());
      return Json(arguments[0].is_null() ? 0 : printed(arguments[0]).size());
    }
    const Json& from = arguments[0];
    if (from.is_object()) {
      auto at = from.find(shown(arguments[1]));
      return at == from.end() ? Json("") : *at;
    }
    if (from.is_array() && arguments[1].is_number_integer() && arguments[1].get<std::int64_t>() >= 0 &&
        arguments[1].get<std::size_t>() < from.size()) {
      return from[arguments[1].get<std::size_t>()];
    }
    return fault(fmt::format("index {} is out of range", shown(arguments[1])));
  }

  static Result<Json> format(const std::vector<Json>& arguments) {
    if (arguments.empty() || !arguments[0].is_string()) return fault("printf needs a format");
    std::string text;
    std::size_t next = 1;
    const std::string& pattern = arguments[0].get_ref<const std::string&>();
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] != '%' || i + 1 == pattern.size()) {
        text.push_back(pattern[i]);
      } else if (char verb = pattern[++i]; verb == '%') {
        text.push_back('%');
      } else if (next >= arguments.size()) {
        text += fmt::format("%!{}(MISSING)", verb);
      } else {
        text += verb == 'q' ? quote(shown(arguments[next])) : shown(arguments[next]);
        ++next;
      }
    }
    return Json(text);
  }

  Result<Json> operand(const std::string& word, const Json& dot) {
    if (word[0] == '"') return Json(word.substr(1));
    if (word == "true" || word == "false") return Json(word == "true");
    if (word == "nil") return Json();
    if (auto number = parse_integer(word)) return Json(*number);
    if (word[0] == '$') {
      const std::string_view name = std::string_view(word).substr(0, word.find('.'));
      auto found =
          std::find_if(variables_.rbegin(), variables_.rend(), [&](const auto& one) { return one.first == name; });
      if (found == variables_.rend()) return fault(fmt::format("undefined variable {}", quote(name)));
      return field(found->second, std::string_view(word).substr(name.size()), word);
    }
    if (word[0] == '.') return field(dot, word, word);
    return fault(fmt::format("function {} not defined", quote(word)));
  }

  static const Json* member(const Json& object, std::string_view name) {
    const Json* found = nullptr;
    for (const auto& [key, value] : object.items()) {
      if (key == name) return &value;
      if (!found && equals_ignore_case(key, name)) found = &value;
    }
    return found;
  }

  static Result<Json> field(const Json& from, std::string_view path, const std::string& word) {
    const Json* at = &from;
    for (std::string_view name : split(path, '.')) {
      if (name.empty()) continue;
      if (at->is_null()) return fault(fmt::format("nil pointer evaluating {}", word));
      const Json* found = nullptr;
      if (at->is_object()) {
        auto silent = at->find(std::string(kSilentFields));
        if (silent != at->end()) found = member(*silent, name);
        if (!found) found = member(*at, name);
      }
      if (!found) return fault(fmt::format("can't evaluate field {}", name));
      at = found;
    }
    return *at;
  }

  std::vector<std::pair<std::string, Json>> variables_;  // innermost last; "$" is the whole
};

}  // namespace

GoTemplate::GoTemplate(std::unique_ptr<Node> root) : root_(std::move(root)) {}
GoTemplate::~GoTemplate() = default;
GoTemplate::GoTemplate(GoTemplate&&) noexcept = default;
GoTemplate& GoTemplate::operator=(GoTemplate&&) noexcept = default;

Result<GoTemplate> GoTemplate::parse(std::string_view text) {
  auto root = std::make_unique<Node>();
  std::string ended_by;
  KILN_ASSIGN_OR_RETURN(root->body, Parser(text == "json" ? "{{json .}}" : text).list(ended_by, 0));
  if (!ended_by.empty()) return fault(fmt::format("unexpected {{{{{}}}}}", ended_by));
  return GoTemplate(std::move(root));
}

Result<std::string> GoTemplate::render(std::string_view json) const {
  Json data = Json::parse(json, nullptr, false);
  if (data.is_discarded()) return engine_error("a template was given data that is not JSON");
  Renderer renderer(data);
  KILN_RETURN_IF_ERROR(renderer.list(root_->body, data));
  return std::move(renderer.out);
}

}  // namespace kiln::client
