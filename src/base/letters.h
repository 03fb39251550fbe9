// Blanks and letters of Unicode, as far as text formats need them. Pure; any thread.
#pragma once

#include <string_view>

#include "base/utf8.h"

namespace kiln {

// White space (the set of Go's unicode.IsSpace).
bool is_blank(char32_t c);
// Letters: ASCII ones, and above ASCII all that is not punctuation, symbol or blank (approximate).
bool is_letter(char32_t c);
// Without the blanks at either end, by is_blank.
std::string_view trim_blanks(std::string_view text);
std::string_view trim_leading_blanks(std::string_view text);

}  // namespace kiln
