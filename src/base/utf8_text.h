// Text from outside made fit for places that insist on UTF-8 (protobuf strings, JSON).
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "base/utf8.h"

namespace kiln {

// Every byte that is no UTF-8 becomes U+FFFD.
inline std::string to_valid_utf8(std::string_view text) {
  if (std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return std::string(text);
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Rune rune = decode_rune(text);
    if (rune.valid) {
      out.append(text.substr(0, rune.size));
    } else {
      out.append("\xEF\xBF\xBD");
    }
    text.remove_prefix(rune.size);
  }
  return out;
}

}  // namespace kiln
