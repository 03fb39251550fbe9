// Columns of text as Go's text/tabwriter aligns them: a cell ends with a tab, columns are as wide
// as the widest cell of neighbouring lines, filled with tabs of eight or with blanks.
#pragma once

#include <string>
#include <string_view>

namespace kiln::client {

enum class Fill { kTabs, kBlanks };
std::string align_columns(std::string_view text, Fill fill);

}  // namespace kiln::client
