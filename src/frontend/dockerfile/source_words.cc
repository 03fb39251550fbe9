#include "frontend/dockerfile/source_words.h"

#include "base/text.h"

namespace kiln::frontend::dockerfile {
namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

bool word_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// Cuts a stretch of the file into words.
class Cutter {
 public:
  Cutter(std::string_view file, std::size_t begin, std::size_t end, char escape)
      : file_(file), at_(begin), end_(end), escape_(escape) {}

  std::vector<SourceWord> cut() {
    while (at_ < end_) {
      if (skip_line_end() || skip_comment()) continue;
      const char c = file_[at_];
      if (quote_ == 0 && blank(c)) {
        finish();
        ++at_;
      } else {
        take(c);
      }
    }
    finish();
    return std::move(words_);
  }

 private:
  // A continuation joins what stands around it; a bare line end parts words.
  bool skip_line_end() {
    if (file_[at_] == '\n') {
      finish();
      quote_ = 0;
      ++at_;
      line_start_ = true;
      return true;
    }
    if (file_[at_] != escape_) return false;
    std::size_t next = at_ + 1;
    while (next < end_ && blank(file_[next])) ++next;
    if (next >= end_ || file_[next] != '\n') return false;
    at_ = next + 1;
    line_start_ = true;
    return true;
  }

  bool skip_comment() {
    if (!line_start_) return false;
    std::size_t next = at_;
    while (next < end_ && blank(file_[next])) ++next;
    line_start_ = false;
    if (next >= end_) return false;
    if (file_[next] != '#' && file_[next] != '\n') return false;
    const std::size_t line_end = file_.find('\n', next);
    at_ = line_end == std::string_view::npos ? end_ : std::min(end_, line_end + 1);
    line_start_ = true;
    return true;
  }

  void take(char c) {
    if (word_.text.empty()) word_.offset = at_;
    if (c == escape_ && quote_ != '\'' && at_ + 1 < end_) {
      word_.text.push_back(c);
      c = file_[++at_];
    } else if (c == quote_) {
      quote_ = 0;
    } else if (quote_ == 0 && (c == '"' || c == '\'')) {
      quote_ = c;
    }
    word_.text.push_back(c);
    word_.size = ++at_ - word_.offset;
  }

  void finish() {
    if (!word_.text.empty()) words_.push_back(std::exchange(word_, {}));
  }

  std::string_view file_;
  std::size_t at_;
  std::size_t end_;
  char escape_;
  char quote_ = 0;
  bool line_start_ = true;
  SourceWord word_;
  std::vector<SourceWord> words_;
};

bool stands_alone(std::string_view line, std::size_t at, std::size_t size) {
  const bool before = at == 0 || !word_letter(line[at - 1]);
  const bool behind = at + size >= line.size() || !word_letter(line[at + size]);
  return before && behind;
}

}  // namespace

std::size_t line_offset(std::string_view file, int line) {
  std::size_t at = 0;
  for (int number = 1; number < line; ++number) {
    const std::size_t end = file.find('\n', at);
    if (end == std::string_view::npos) return file.size();
    at = end + 1;
  }
  return at;
}

std::vector<SourceWord> source_words(std::string_view file, int first, int last, char escape) {
  return Cutter(file, line_offset(file, first), line_offset(file, last + 1), escape).cut();
}

std::optional<Range> find_word(std::string_view file, const Ranges& ranges, std::string_view word) {
  if (word.empty()) return std::nullopt;
  std::optional<Range> inside;
  for (const Range& range : ranges) {
    for (int line = range.start.line; line <= std::max(range.start.line, range.end.line); ++line) {
      const std::size_t begin = line_offset(file, line);
      if (begin >= file.size()) break;
      const std::string_view text = file.substr(begin, file.find('\n', begin) - begin);
      for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
        const Range place{{line, static_cast<int>(at)}, {line, static_cast<int>(at + word.size())}};
        if (stands_alone(text, at, word.size())) return place;
        if (!inside) inside = place;
      }
    }
  }
  return inside;
}

}  // namespace kiln::frontend::dockerfile
