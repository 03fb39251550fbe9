// Where the words of a statement stand in the file, byte by byte: for marking and for rewriting.
// Parsing joins continued lines and drops comments between them; this goes the other way.
//
//   for (const SourceWord& word : source_words(file, 3, 5, '\\')) replace(word.offset, word.size);
//   if (auto place = find_word(file, statement.ranges(), "--form")) mark(*place);
//
// Pure functions over the text as it is; lines are 1-based, characters 0-based bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/dockerfile/location.h"

namespace kiln::frontend::dockerfile {

// A word between blanks; quoted and escaped blanks do not part words. `text` is without the line
// ends that a continuation put into it; `size` counts them.
struct SourceWord {
  std::string text;
  std::size_t offset = 0;
  std::size_t size = 0;
};

// The words on lines first..last, continuations and the comments among them passed over. Heredoc
// bodies are not known here: their lines give words like any other.
std::vector<SourceWord> source_words(std::string_view file, int first, int last, char escape);

// Offset of the first byte of a line; the file's size for lines behind its end.
std::size_t line_offset(std::string_view file, int line);

// The first place of `word` on the lines of `ranges`, as a range on one line; one that stands alone
// is preferred to one inside a longer word. Nothing when it does not stand there as written.
std::optional<Range> find_word(std::string_view file, const Ranges& ranges, std::string_view word);

}  // namespace kiln::frontend::dockerfile
