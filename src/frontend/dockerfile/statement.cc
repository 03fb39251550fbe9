#include "frontend/dockerfile/statement.h"

#include <fmt/format.h>

#include "base/letters.h"
#include "base/text.h"
#include "frontend/dockerfile/directives.h"
#include "frontend/dockerfile/expand.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr std::size_t kLineMax = 65535;

Status fault_at(std::string_view message, int first, int last) {
  return with_ranges(user_error(Code::kInvalidArgument, message), lines(first, last));
}

bool is_comment(std::string_view line) { return trim_leading_blanks(line).starts_with('#'); }

std::string_view without_line_end(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

// Cuts the escape character that ends a line, with the blanks behind it; whether there was one.
bool cut_continuation(std::string_view& line, char escape) {
  std::string_view body = line;
  while (!body.empty() && (body.back() == ' ' || body.back() == '\t')) body.remove_suffix(1);
  if (body.empty() || body.back() != escape) return false;
  body.remove_suffix(1);
  if (!body.empty() && body.back() == escape) return false;
  line = body;
  return true;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
  }

  Result<StatementList> read() {
    std::vector<std::string> comments;
    while (true) {
      KILN_ASSIGN_OR_RETURN(bool more, next_line());
      if (!more) break;
      std::string_view line = trim_leading_blanks(without_line_end(line_));
      KILN_ASSIGN_OR_RETURN(std::optional<Directive> directive, directives_.read(line));
      if (directive) {
        KILN_RETURN_IF_ERROR(apply(*directive));
        continue;
      }
      if (is_comment(line)) {
        // Of an indented comment the mark stays, which makes it no description.
        std::string_view comment = trim_blanks(line_.substr(1));
        if (comment.empty()) {
          comments.clear();
        } else {
          comments.emplace_back(comment);
        }
        continue;
      }
      bool continues = cut_continuation(line, out_.escape);
      if (line.empty() && !continues) continue;
      KILN_RETURN_IF_ERROR(read_statement(line, continues, std::exchange(comments, {})));
    }
    if (out_.statements.empty()) return fault_at("file with no instructions", number_, number_);
    return std::move(out_);
  }

 private:
  // Puts the next line with its end into line_; false at the end of the text.
  Result<bool> next_line() {
    if (rest_.empty()) return false;
    std::size_t end = rest_.find('\n');
    line_ = end == std::string_view::npos ? rest_ : rest_.substr(0, end + 1);
    rest_.remove_prefix(line_.size());
    ++number_;
    if (line_.size() - (end != std::string_view::npos) > kLineMax) {
      return fault_at(fmt::format("dockerfile line greater than max allowed size of {}", kLineMax), number_, number_);
    }
    return true;
  }

  Status apply(const Directive& directive) {
    if (directive.name != "escape") return ok();
    if (directive.value != "`" && directive.value != "\\") {
      return fault_at(fmt::format("invalid escape token '{}' does not match ` or \\", directive.value), number_,
                      number_);
    }
    out_.escape = directive.value[0];
    return ok();
  }

  Status read_statement(std::string_view first, bool continues, std::vector<std::string> comments) {
    int start = number_;
    std::string joined(first);
    bool has_empty_line = false;
    while (continues) {
      KILN_ASSIGN_OR_RETURN(bool more, next_line());
      if (!more) break;
      std::string_view line = without_line_end(line_);
      if (is_comment(line)) continue;
      if (trim_leading_blanks(line).empty()) {
        has_empty_line = true;
        continue;
      }
      continues = cut_continuation(line, out_.escape);
      joined.append(line);
    }
    if (has_empty_line) out_.empty_continuations.push_back(number_);
    Result<Statement> statement = parse_statement(joined, out_.escape);
    if (!statement.ok()) return with_ranges(statement.status(), lines(start, number_));
    KILN_RETURN_IF_ERROR(read_heredocs(*statement, start));
    statement->first_line = start;
    statement->last_line = number_;
    statement->comments = std::move(comments);
    if (statement->trigger) {
      statement->trigger->first_line = start;
      statement->trigger->last_line = number_;
    }
    out_.statements.push_back(*std::move(statement));
    return ok();
  }

  static bool may_have_heredocs(const Statement& statement) {
    const Statement& inner =
        statement.trigger && equals_ignore_case(statement.name, "ONBUILD") ? *statement.trigger : statement;
    std::optional<Keyword> keyword = find_keyword(inner.name);
    return !inner.json && (keyword == Keyword::kRun || keyword == Keyword::kCopy || keyword == Keyword::kAdd);
  }

  Status read_heredocs(Statement& statement, int start) {
    if (statement.text.find("<<") == std::string::npos || !may_have_heredocs(statement)) return ok();
    WordLexer lexer('\\', {.keep_quotes = true, .keep_escapes = true, .keep_unset = true});
    Result<std::vector<std::string>> words = lexer.words(statement.text, EnvironmentList());
    if (!words.ok()) return ok();  // not words as a shell knows them, so no heredocs either
    for (const std::string& word : *words) {
      std::optional<Heredoc> heredoc = heredoc_of_word(word);
      if (!heredoc) continue;
      KILN_RETURN_IF_ERROR(read_body(*heredoc, start));
      statement.heredocs.push_back(*std::move(heredoc));
    }
    return ok();
  }

  Status read_body(Heredoc& heredoc, int start) {
    while (true) {
      KILN_ASSIGN_OR_RETURN(bool more, next_line());
      if (!more) return with_word(fault_at("unterminated heredoc", start, number_), heredoc.name);
      std::string_view end = without_line_end(line_);
      if (heredoc.strip_tabs) end.remove_prefix(std::min(end.find_first_not_of('\t'), end.size()));
      if (end == heredoc.name) return ok();
      heredoc.data.append(line_);
    }
  }

  std::string_view rest_;
  std::string_view line_;
  int number_ = 0;
  DirectiveReader directives_;
  StatementList out_;
};

}  // namespace

Result<StatementList> read_statements(std::string_view text) { return Reader(text).read(); }

std::optional<Heredoc> heredoc_of_word(std::string_view word) {
  Heredoc heredoc;
  std::size_t digits = 0;
  while (digits < word.size() && word[digits] >= '0' && word[digits] <= '9') ++digits;
  for (char digit : word.substr(0, std::min<std::size_t>(digits, 9)))
    heredoc.descriptor = heredoc.descriptor * 10 + static_cast<unsigned>(digit - '0');
  word.remove_prefix(digits);
  if (!word.starts_with("<<")) return std::nullopt;
  word.remove_prefix(2);
  if (word.starts_with('-')) {
    heredoc.strip_tabs = true;
    word.remove_prefix(1);
  }
  word = trim_leading_blanks(word);
  if (word.empty() || word.find('<') != std::string_view::npos) return std::nullopt;

  // Quotes that vanish when the word is unquoted were there to forbid expansion.
  EnvironmentList nothing;
  Result<std::vector<std::string>> plain = WordLexer('\\', {.keep_unset = true}).words(word, nothing);
  Result<std::vector<std::string>> quoted =
      WordLexer('\\', {.keep_quotes = true, .keep_unset = true}).words(word, nothing);
  if (!plain.ok() || !quoted.ok() || plain->size() != 1 || quoted->size() != 1) return std::nullopt;
  auto quotes = [](const std::string& text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return c == '"' || c == '\''; });
  };
  heredoc.name = plain->front();
  heredoc.expand = quotes(plain->front()) == quotes(quoted->front());
  return heredoc;
}

std::string strip_leading_tabs(std::string_view data) {
  std::string out;
  bool line_start = true;
  for (char c : data) {
    if (line_start && c == '\t') continue;
    out.push_back(c);
    line_start = c == '\n';
  }
  return out;
}

}  // namespace kiln::frontend::dockerfile
