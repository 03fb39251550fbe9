#include "client/table_text.h"

#include <vector>

#include "base/text.h"

namespace kiln::client {
namespace {

constexpr std::size_t kTab = 8;

}  // namespace

std::string align_columns(std::string_view text, Fill fill) {
  std::vector<std::vector<std::string_view>> rows;
  for (std::string_view line : split(text, '\n')) rows.push_back(split(line, '\t'));
  // widths[row][column] for cells that end with a tab; all but the last of a row.
  std::vector<std::vector<std::size_t>> widths(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) widths[row].resize(rows[row].size() - 1);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t column = 0; column < widths[row].size(); ++column) {
      bool first = row == 0 || widths[row - 1].size() <= column;
      if (!first) continue;
      std::size_t width = 0, end = row;
      for (; end < rows.size() && widths[end].size() > column; ++end) width = std::max(width, rows[end][column].size());
      width += 1;
      if (fill == Fill::kTabs) width = (width + kTab - 1) / kTab * kTab;
      for (std::size_t i = row; i < end; ++i) widths[i][column] = width;
    }
  }
  std::string out;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t column = 0; column < rows[row].size(); ++column) {
      out += rows[row][column];
      if (column >= widths[row].size()) continue;
      std::size_t gap = widths[row][column] - rows[row][column].size();
      out.append(fill == Fill::kTabs ? (gap + kTab - 1) / kTab : gap, fill == Fill::kTabs ? '\t' : ' ');
    }
    if (row + 1 < rows.size()) out += '\n';
  }
  return out;
}

}  // namespace kiln::client
