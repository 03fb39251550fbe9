// Small string work. Debian's abseil has a string_view of its own that is not std's, so rooms use
// fmt and these instead of absl::StrCat and absl::StrSplit.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln {

// Splits at every `separator`; "" gives {""}.
std::vector<std::string_view> split(std::string_view text, char separator);
// Splits at the first `separator`; {text, ""} when there is none.
std::pair<std::string_view, std::string_view> split_once(std::string_view text, char separator);
// Words between ASCII blanks; never empty words.
std::vector<std::string_view> words(std::string_view text);
std::string_view trim(std::string_view text);  // ASCII blanks, both ends
std::string to_lower(std::string_view text);   // ASCII
std::string to_upper(std::string_view text);   // ASCII
bool equals_ignore_case(std::string_view a, std::string_view b);
std::string replace_all(std::string text, std::string_view from, std::string_view to);
// Levenshtein distance, for "did you mean".
int edit_distance(std::string_view a, std::string_view b);

template <typename Range>
std::string join(const Range& range, std::string_view separator) {
  std::string out;
  bool first = true;
  for (const auto& item : range) {
    if (!first) out.append(separator);
    out.append(item);
    first = false;
  }
  return out;
}

}  // namespace kiln
