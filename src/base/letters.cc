#include "base/letters.h"

namespace kiln {

bool is_blank(char32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  if (c < 0xC0) return c == 0xAA || c == 0xB5 || c == 0xBA;
  if (c == 0xD7 || c == 0xF7) return false;
  bool symbol = (c >= 0x2000 && c <= 0x2BFF) || (c >= 0x3000 && c <= 0x3004) || (c >= 0x3007 && c <= 0x3030) ||
                (c >= 0xE000 && c <= 0xF8FF) || (c >= 0xFE00 && c <= 0xFE6F) || c >= 0x1F000;
  return !symbol && c != 0xFFFD;
}

std::string_view trim_leading_blanks(std::string_view text) {
  for (Rune c = decode_rune(text); c.size > 0 && is_blank(c.value); c = decode_rune(text)) {
    text.remove_prefix(c.size);
  }
  return text;
}

std::string_view trim_blanks(std::string_view text) {
  text = trim_leading_blanks(text);
  while (!text.empty()) {
    std::size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    Rune last = decode_rune(text.substr(start));
    if (start + last.size != text.size() || !is_blank(last.value)) break;
    text.remove_suffix(last.size);
  }
  return text;
}

}  // namespace kiln
