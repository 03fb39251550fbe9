// UTF-8 one character at a time, with Go's rule for bytes that are none: each stands for U+FFFD.
#pragma once

#include <cstddef>
#include <string_view>

namespace kiln {

struct Rune {
  char32_t value = 0;
  std::size_t size = 0;  // bytes taken; 0 only for empty input
  bool valid = true;
};

// The first character of `text`. Pure; any thread.
inline Rune decode_rune(std::string_view text) {
  if (text.empty()) return {};
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto tail = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char lead = byte(0);
  const Rune broken{0xFFFD, 1, false};
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC2) return broken;
  if (lead < 0xE0) {
    if (!tail(1)) return broken;
    return {static_cast<char32_t>((lead & 0x1F) << 6 | (byte(1) & 0x3F)), 2, true};
  }
  if (lead < 0xF0) {
    if (!tail(1) || !tail(2)) return broken;
    char32_t value = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    if (value < 0x800 || (value >= 0xD800 && value < 0xE000)) return broken;
    return {value, 3, true};
  }
  if (lead > 0xF4 || !tail(1) || !tail(2) || !tail(3)) return broken;
  char32_t value = (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  if (value < 0x10000 || value > 0x10FFFF) return broken;
  return {value, 4, true};
}

}  // namespace kiln
