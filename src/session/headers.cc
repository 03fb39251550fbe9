#include "session/internal/headers.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::session::internal {
namespace {

bool is_plain(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else if (c == ' ') {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

void add_list(Metadata& metadata, const std::string& key, const std::vector<std::string>& values) {
  bool plain = std::all_of(values.begin(), values.end(), is_plain);
  for (const std::string& value : values) metadata.emplace_back(key, plain ? value : escape(value));
  if (!plain) metadata.emplace_back(key + "-encoded", "1");
}

std::vector<std::string> list_of(const std::multimap<std::string, std::string>& headers, const std::string& key) {
  auto mark = headers.find(key + "-encoded");
  bool encoded = mark != headers.end() && (mark->second == "1" || mark->second == "true");
  std::vector<std::string> out;
  auto [from, to] = headers.equal_range(key);
  for (auto it = from; it != to; ++it) out.push_back(encoded ? unescape(it->second) : it->second);
  return out;
}

}  // namespace kiln::session::internal
