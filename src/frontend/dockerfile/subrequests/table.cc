#include <algorithm>

#include "base/utf8.h"
#include "frontend/dockerfile/subrequests/reports.h"

namespace kiln::frontend::dockerfile {
namespace {

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (; !text.empty(); ++width) text.remove_prefix(decode_rune(text).size);
  return width;
}

}  // namespace

std::string text_table(const std::vector<std::vector<std::string>>& rows, int gap) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - width_of(row[i]) + static_cast<std::size_t>(gap), ' ');
    }
    out += '\n';
  }
  return out;
}

}  // namespace kiln::frontend::dockerfile
