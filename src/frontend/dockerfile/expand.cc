#include "frontend/dockerfile/expand.h"

#include <fmt/format.h>

#include "base/letters.h"
#include "base/utf8_text.h"
#include "base/value.h"
#include "frontend/dockerfile/expand_pattern.h"
#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {
namespace {

Status fault(std::string_view message) { return user_error(Code::kInvalidArgument, message); }

// Words as they fill up: what was quoted or escaped never splits.
class WordList {
 public:
  void add(std::string_view text) {
    while (!text.empty()) {
      if (const std::size_t plain = ascii_word(text); plain > 0) {
        current_.append(text.substr(0, plain));
        text.remove_prefix(plain);
        continue;
      }
      Rune c = decode_rune(text);
      if (is_blank(c.value)) {
        end_word();
      } else {
        current_.append(text.substr(0, c.size));
      }
      text.remove_prefix(c.size);
    }
  }
  void add_literal(std::string_view text) { current_.append(text); }
  std::vector<std::string> take() {
    end_word();
    return std::move(words_);
  }

 private:
  // How many bytes in front are ASCII and no blanks.
  static std::size_t ascii_word(std::string_view text) {
    std::size_t size = 0;
    while (size < text.size() && text[size] > ' ' && text[size] < 0x7f) ++size;
    return size;
  }
  void end_word() {
    if (!current_.empty()) words_.push_back(std::exchange(current_, {}));
  }
  std::vector<std::string> words_;
  std::string current_;
};

bool is_special_parameter(char32_t c) {
  return c < 0x80 && std::string_view("@*#?-$!0").find(static_cast<char>(c)) != std::string_view::npos;
}

// How deep ${a:-${b:-…}} may nest; text from outside must not exhaust the stack.
constexpr int kNestingMax = 200;

// One walk over one word.
class Walk {
 public:
  Walk(std::string_view text, char escape, WordLexer::Options options, const Environment& env)
      : rest_(text),
        escape_(static_cast<unsigned char>(escape)),
        options_(options),
        keep_escapes_(options.keep_escapes),
        env_(env) {}

  enum class Wanted { kText, kTextAndWords };
  Result<Expansion> whole(Wanted wanted) {
    WordList words;
    KILN_ASSIGN_OR_RETURN(out_.text, until(kNoStop, keep_escapes_, wanted == Wanted::kText ? nullptr : &words));
    out_.words = words.take();
    // Words are text: a byte that is none becomes U+FFFD, here as in BuildKit.
    out_.text = to_valid_utf8(out_.text);
    for (std::string& word : out_.words) word = to_valid_utf8(word);
    return std::move(out_);
  }

  // What was asked for in vain, when whole() failed.
  const VariableNames& unset() const { return out_.unset; }

 private:
  static constexpr char32_t kNoStop = 0xFFFFFFFF;

  bool at_end() const { return rest_.empty(); }
  char32_t peek() const { return at_end() ? kNoStop : decode_rune(rest_).value; }
  // The bytes of the next character, taken.
  std::string_view take() {
    std::string_view c = rest_.substr(0, decode_rune(rest_).size);
    rest_.remove_prefix(c.size());
    return c;
  }

  // Everything up to `stop`, which is taken too.
  Result<std::string> until(char32_t stop, bool keep_escapes, WordList* words) {
    if (++depth_ > kNestingMax) return fault("syntax error: substitutions are nested too deeply");
    bool outer = std::exchange(keep_escapes_, keep_escapes);
    Result<std::string> text = pieces(stop, words);
    keep_escapes_ = outer;
    --depth_;
    return text;
  }

  Result<std::string> pieces(char32_t stop, WordList* words) {
    std::string out;
    auto literal = [&](std::string_view text) {
      out.append(text);
      if (words) words->add_literal(text);
    };
    while (!at_end()) {
      char32_t c = peek();
      if (c == stop) {
        take();
        return out;
      }
      if (c == '$') {
        KILN_ASSIGN_OR_RETURN(std::string value, dollar());
        out.append(value);
        if (words) words->add(value);
      } else if (c == '<') {
        literal(heredoc_mark());
      } else if ((c == '\'' || c == '"') && !options_.ignore_quotes) {
        KILN_ASSIGN_OR_RETURN(std::string value, c == '"' ? double_quoted() : single_quoted());
        literal(value);
      } else if (c == escape_) {
        std::string_view mark = take();
        if (keep_escapes_) literal(mark);
        if (at_end()) break;
        literal(take());
      } else {
        std::string_view text = c < 0x80 ? take_plain(stop) : take();
        out.append(text);
        if (words) words->add(text);
      }
    }
    if (stop != kNoStop) {
      return fault(fmt::format("unexpected end of statement while looking for matching {}", static_cast<char>(stop)));
    }
    return out;
  }

  // The next character, which means nothing of its own, and what follows it and is ASCII and means nothing either.
  std::string_view take_plain(char32_t stop) {
    std::size_t size = 1;
    while (size < rest_.size()) {
      const auto c = static_cast<unsigned char>(rest_[size]);
      if (c >= 0x80 || c == '$' || c == '<' || c == '\'' || c == '"' || c == escape_ || c == stop) break;
      ++size;
    }
    std::string_view text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return text;
  }

  // `<<` and the blanks behind it stay in one word with the delimiter.
  std::string_view heredoc_mark() {
    std::size_t size = 1;
    if (rest_.size() > 1 && rest_[1] == '<') {
      size = 2;
      while (size < rest_.size() && (rest_[size] == ' ' || rest_[size] == '\t' || rest_[size] == '\r')) ++size;
    }
    std::string_view mark = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return mark;
  }

  Result<std::string> single_quoted() {
    std::size_t end = rest_.find('\'', 1);
    if (end == std::string_view::npos) {
      rest_ = {};
      return fault("unexpected end of statement while looking for matching single-quote");
    }
    std::string_view text = options_.keep_quotes ? rest_.substr(0, end + 1) : rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return std::string(text);
  }

  Result<std::string> double_quoted() {
    std::string out;
    std::string_view mark = take();
    if (options_.keep_quotes) out.append(mark);
    while (!at_end()) {
      char32_t c = peek();
      if (c == '"') {
        mark = take();
        if (options_.keep_quotes) out.append(mark);
        return out;
      }
      if (c == '$') {
        KILN_ASSIGN_OR_RETURN(std::string value, dollar());
        out.append(value);
        continue;
      }
      std::string_view text = take();
      if (c == escape_) {
        if (keep_escapes_) out.append(text);
        if (at_end()) break;
        if (char32_t next = peek(); next == '"' || next == '$' || next == escape_) text = take();
      }
      out.append(text);
    }
    return fault("unexpected end of statement while looking for matching double-quote");
  }

  std::string name() {
    std::string out;
    if (char32_t c = peek(); c >= '0' && c <= '9') {
      while (!at_end() && peek() >= '0' && peek() <= '9') out.append(take());
      return out;
    } else if (c != kNoStop && is_special_parameter(c)) {
      return std::string(take());
    }
    while (!at_end() && (is_letter(peek()) || peek() == '_' || (peek() >= '0' && peek() <= '9'))) out.append(take());
    return out;
  }

  std::optional<std::string> look_up(const std::string& name) {
    std::optional<std::string> value = env_.get(name);
    (value ? out_.used : out_.unset).insert(name);
    return value;
  }

  Result<std::string> dollar() {
    take();
    if (peek() != '{') {
      std::string variable = name();
      if (variable.empty()) return std::string("$");
      std::optional<std::string> value = look_up(variable);
      if (!value && options_.keep_unset) return "$" + variable;
      return value.value_or("");
    }
    take();
    switch (peek()) {
      case kNoStop: return fault("syntax error: missing '}'");
      case '{':
      case '}':
      case ':': return fault("syntax error: bad substitution");
      default: break;
    }
    return braced(name());
  }

  // Behind `${name`.
  Result<std::string> braced(const std::string& variable) {
    if (at_end()) return fault("syntax error: missing '}'");
    std::string modifier(take());
    if (modifier == "}") {
      std::optional<std::string> value = look_up(variable);
      if (!value && options_.keep_unset) return "${" + variable + "}";
      return value.value_or("");
    }
    if (modifier == "/") return replaced(variable);
    if (modifier == ":") {
      if (at_end()) return fault("syntax error: missing '}'");
      modifier.append(take());
    }
    std::string_view kind = std::string_view(modifier).substr(modifier.size() > 1 && modifier[0] == ':' ? 1 : 0);
    bool strips = kind == "#" || kind == "%";
    bool known = strips || kind == "+" || kind == "-" || kind == "?";
    const Status unsupported = fault(fmt::format("unsupported modifier ({}) in substitution", modifier));
    if (modifier[0] == ':' ? strips : !known) return unsupported;
    KILN_ASSIGN_OR_RETURN(std::string word, part('}', strips));
    std::optional<std::string> value = look_up(variable);
    if (!value && options_.keep_unset) return fmt::format("${{{}{}{}}}", variable, modifier, word);
    if (!known) return unsupported;
    if (strips) return stripped(value.value_or(""), kind[0], word);
    return chosen(variable, value, kind[0], modifier[0] == ':', word);
  }

  // A part of a substitution; when the text ends first, the brace or slash is what is missing.
  Result<std::string> part(char stop, bool keep_escapes) {
    Result<std::string> text = until(static_cast<unsigned char>(stop), keep_escapes, nullptr);
    if (!text.ok() && at_end())
      return fault(stop == '}' ? "syntax error: missing '}'" : "syntax error: missing '/' in ${}");
    return text;
  }

  static Result<std::string> chosen(const std::string& variable, const std::optional<std::string>& value, char kind,
                                    bool empty_is_unset, const std::string& word) {
    bool has = value && !(empty_is_unset && value->empty());
    if (kind == '-') return has ? *value : word;
    if (kind == '+') return has ? word : std::string();
    if (has) return *value;
    std::string_view why = value ? "is not allowed to be empty" : "is not allowed to be unset";
    return fault(fmt::format("{}: {}", variable, word.empty() ? why : std::string_view(word)));
  }

  static Result<std::string> stripped(const std::string& value, char kind, std::string_view word) {
    auto extent = ExpandPattern::Extent::kShortest;
    if (!word.empty() && word[0] == kind) {
      extent = ExpandPattern::Extent::kLongest;
      word.remove_prefix(1);
    }
    KILN_ASSIGN_OR_RETURN(ExpandPattern pattern, ExpandPattern::parse(word));
    return kind == '#' ? pattern.strip_prefix(value, extent) : pattern.strip_suffix(value, extent);
  }

  Result<std::string> replaced(const std::string& variable) {
    auto count = ExpandPattern::Count::kFirst;
    if (peek() == '/') {
      take();
      count = ExpandPattern::Count::kAll;
    }
    KILN_ASSIGN_OR_RETURN(std::string pattern, part('/', true));
    KILN_ASSIGN_OR_RETURN(std::string replacement, part('}', true));
    std::optional<std::string> value = look_up(variable);
    if (!value && options_.keep_unset) return fmt::format("${{{}/{}/{}}}", variable, pattern, replacement);
    KILN_ASSIGN_OR_RETURN(ExpandPattern compiled, ExpandPattern::parse(pattern));
    return compiled.replace(value.value_or(""), replacement, count);
  }

  std::string_view rest_;
  char32_t escape_;
  WordLexer::Options options_;
  bool keep_escapes_;
  const Environment& env_;
  int depth_ = 0;
  Expansion out_;
};

}  // namespace

namespace {

Result<Expansion> walked(Result<Expansion> out, std::string_view word) {
  if (out.ok()) return out;
  return with_word(annotate(out.status(), fmt::format("failed to process {}", quote(word))), word);
}

}  // namespace

Result<Expansion> WordLexer::expand(std::string_view word, const Environment& env, VariableNames* unset) const {
  Walk walk(word, escape_, options_, env);
  Result<Expansion> out = walk.whole(Walk::Wanted::kTextAndWords);
  if (unset) *unset = out.ok() ? out->unset : walk.unset();
  return walked(std::move(out), word);
}

Result<std::string> WordLexer::expand_text(std::string_view word, const Environment& env) const {
  KILN_ASSIGN_OR_RETURN(Expansion out, walked(Walk(word, escape_, options_, env).whole(Walk::Wanted::kText), word));
  return std::move(out.text);
}

Result<std::vector<std::string>> WordLexer::words(std::string_view word, const Environment& env) const {
  KILN_ASSIGN_OR_RETURN(Expansion out, expand(word, env));
  return std::move(out.words);
}

}  // namespace kiln::frontend::dockerfile
