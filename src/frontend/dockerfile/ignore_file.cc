#include "frontend/dockerfile/ignore_file.h"

#include "base/gopath.h"
#include "base/letters.h"
#include "base/text.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr std::size_t kLineMax = 64 * 1024;

}  // namespace

Result<std::vector<std::string>> parse_ignore_file(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string> out;
  for (std::string_view line : split(text, '\n')) {
    if (line.size() >= kLineMax)
      return user_error(Code::kInvalidArgument, "a line of the ignore file is longer than 64 KiB");
    if (line.starts_with('#')) continue;
    line = trim_blanks(line);
    if (line.empty()) continue;
    bool excepts = line[0] == '!';
    if (excepts) line = trim_blanks(line.substr(1));
    std::string pattern = line.empty() ? "" : clean_path(line);
    if (pattern.size() > 1 && pattern[0] == '/') pattern.erase(0, 1);
    out.push_back((excepts ? "!" : "") + pattern);
  }
  return out;
}

}  // namespace kiln::frontend::dockerfile
