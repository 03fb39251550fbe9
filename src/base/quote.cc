#include "base/quote.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace kiln {
namespace {

std::string_view short_escape(char32_t value) {
  switch (value) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\a': return "\\a";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\v': return "\\v";
    default: return {};
  }
}

// What has no picture of its own: C1 controls, odd spaces, marks of direction, surrogates' kin.
bool is_printable(char32_t value) {
  if (value < 0x20 || value == 0x7F) return false;
  if (value >= 0x80 && value <= 0xA0) return false;
  if (value == 0xAD || value == 0xFEFF || value == 0x3000 || value == 0x202F || value == 0x205F) return false;
  if (value >= 0x2000 && value <= 0x200F) return false;
  if (value >= 0x2028 && value <= 0x202E) return false;
  if (value >= 0x2060 && value <= 0x206F) return false;
  if (value >= 0xE000 && value <= 0xF8FF) return false;
  return value < 0xE0000;
}

}  // namespace

std::string quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const Rune rune = decode_rune(text);
    const std::string_view escape = short_escape(rune.value);
    if (!rune.valid) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (!escape.empty()) {
      out += escape;
    } else if (is_printable(rune.value)) {
      out += text.substr(0, rune.size);
    } else if (rune.value < 0x80) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(rune.value));
    } else if (rune.value < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(rune.value));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<unsigned>(rune.value));
    }
    text.remove_prefix(rune.size);
  }
  return out + "\"";
}

}  // namespace kiln
