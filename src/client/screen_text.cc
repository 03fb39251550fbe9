#include <locale.h>
#include <wchar.h>

#include <algorithm>
#include <cstddef>

#include "base/utf8.h"
#include "client/internal/screen_text.h"

namespace kiln::client {
namespace {

// The C library's table of widths in Unicode, for this thread and as long as this lives. C.UTF-8 is a part of the
// library itself; where it is not, every character counts as one column.
class UnicodeWidths {
 public:
  UnicodeWidths() : unicode_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (unicode_ != nullptr) before_ = uselocale(unicode_);
  }
  ~UnicodeWidths() {
    if (unicode_ == nullptr) return;
    uselocale(before_);
    freelocale(unicode_);
  }
  UnicodeWidths(const UnicodeWidths&) = delete;
  UnicodeWidths& operator=(const UnicodeWidths&) = delete;

  int of(char32_t c) const { return unicode_ == nullptr ? 1 : std::max(wcwidth(static_cast<wchar_t>(c)), 0); }

 private:
  locale_t unicode_;
  locale_t before_ = nullptr;
};

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// Bytes of the escape sequence at the start of `text`.
std::size_t escape_size(std::string_view text) {
  if (text.size() < 2 || text[1] != '[') return std::min<std::size_t>(text.size(), 2);
  std::size_t end = 2;
  while (end < text.size() && (text[end] < 0x40 || text[end] > 0x7e)) ++end;
  return std::min(end + 1, text.size());
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Rune rune = decode_rune(text);
    std::size_t size = rune.size;
    if (rune.value == 0x1b) {
      size = escape_size(text);
    } else if (rune.value == '\t') {
      out.push_back(' ');
    } else if (rune.value >= 0x20 && (rune.value < 0x7f || rune.value >= 0xa0)) {
      out += rune.valid ? text.substr(0, rune.size) : "\xef\xbf\xbd";
    }
    text.remove_prefix(size);
  }
  return out;
}

int columns_of(std::string_view text) {
  if (is_ascii(text)) return static_cast<int>(text.size());
  const UnicodeWidths widths;
  int count = 0;
  for (Rune rune = decode_rune(text); rune.size > 0; rune = decode_rune(text)) {
    count += widths.of(rune.value);
    text.remove_prefix(rune.size);
  }
  return count;
}

std::string_view cut(std::string_view text, int columns) {
  const auto room = static_cast<std::size_t>(std::max(columns, 0));
  if (text.size() <= room) return text;  // no character takes more columns than bytes
  if (is_ascii(text.substr(0, room))) {
    // A combining character behind the last column would belong to it, but is not worth a look.
    return text.substr(0, room);
  }
  const UnicodeWidths widths;
  std::size_t at = 0;
  for (std::size_t used = 0; at < text.size();) {
    const Rune rune = decode_rune(text.substr(at));
    used += static_cast<std::size_t>(widths.of(rune.value));
    if (used > room) break;
    at += rune.size;
  }
  return text.substr(0, at);
}

}  // namespace kiln::client
