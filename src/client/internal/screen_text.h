// Text as a terminal shows it: what may be sent to one, and how many columns it takes. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace kiln::client {

// Without escape sequences and control characters; a tab is a blank, and bytes that are no UTF-8 are U+FFFD.
std::string printable(std::string_view text);
// The columns that `text` takes on a screen: a character of East Asian width takes two, a combining one none.
int columns_of(std::string_view text);
// As much of the start as fits into so many columns.
std::string_view cut(std::string_view text, int columns);

}  // namespace kiln::client
