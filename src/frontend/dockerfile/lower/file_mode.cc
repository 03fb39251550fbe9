#include "frontend/dockerfile/lower/file_mode.h"

#include <fmt/format.h>

#include "base/value.h"

namespace kiln::frontend::dockerfile {
namespace {

bool any_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

// who* (op perm*)+ ("," …)*
bool is_symbolic(std::string_view text) {
  std::size_t i = 0;
  while (true) {
    while (i < text.size() && any_of(text[i], "augo")) ++i;
    if (i == text.size() || !any_of(text[i], "+-=")) return false;
    while (i < text.size() && any_of(text[i], "+-=")) {
      ++i;
      while (i < text.size() && any_of(text[i], "rstwXxugo")) ++i;
    }
    if (i == text.size()) return true;
    if (text[i++] != ',') return false;
  }
}

}  // namespace

Result<FileMode> parse_file_mode(std::string_view text) {
  if (auto octal = parse_unsigned(text, 8, 0xFFFFFFFF)) {
    if (*octal <= 07777) return FileMode{static_cast<std::int32_t>(*octal), {}};
  } else if (text.empty() || text[0] < '0' || text[0] > '9') {
    if (is_symbolic(text)) return FileMode{0, std::string(text)};
    return user_error(Code::kInvalidArgument, "invalid syntax");
  }
  return user_error(
      Code::kInvalidArgument,
      fmt::format("invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777", text));
}

}  // namespace kiln::frontend::dockerfile
