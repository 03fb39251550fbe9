#include "base/base64.h"

#include <cstdint>

namespace kiln {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::size_t n = bytes.size() - i;
    auto at = [&](std::size_t k) {
      return k < n ? static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i + k])) : 0u;
    };
    std::uint32_t word = at(0) << 16 | at(1) << 8 | at(2);
    out += kAlphabet[word >> 18];
    out += kAlphabet[word >> 12 & 63];
    out += n > 1 ? kAlphabet[word >> 6 & 63] : '=';
    out += n > 2 ? kAlphabet[word & 63] : '=';
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string out;
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int value = i >= text.size() - padding ? 0 : value_of(text[i]);
    if (value < 0) return std::nullopt;
    word = word << 6 | static_cast<std::uint32_t>(value);
    if (i % 4 == 3) {
      out += static_cast<char>(word >> 16 & 0xff);
      out += static_cast<char>(word >> 8 & 0xff);
      out += static_cast<char>(word & 0xff);
      word = 0;
    }
  }
  out.resize(out.size() - padding);
  return out;
}

}  // namespace kiln
