// The patterns inside ${v#p}, ${v%p} and ${v/p/r}: `*` any run of characters, `?` any one, `\`
// before
// `*`, `?` and `\` makes them literal, and is dropped before `/` and `}`. Neither wildcard matches
// a line end. Private to the expansion of words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::frontend::dockerfile {

class ExpandPattern {
 public:
  // InvalidArgument for an escape before any other character.
  static Result<ExpandPattern> parse(std::string_view text);

  enum class Extent { kShortest, kLongest };
  std::string strip_prefix(std::string_view value, Extent extent) const;
  std::string strip_suffix(std::string_view value, Extent extent) const;
  enum class Count { kFirst, kAll };
  // Each match is the leftmost, and the longest there.
  std::string replace(std::string_view value, std::string_view replacement, Count count) const;

 private:
  enum class Kind { kLiteral, kAnyOne, kAnyRun };
  struct Token {
    Kind kind;
    char32_t literal;
  };
  // Length of the match at the front of the characters, or -1.
  static std::ptrdiff_t match(const std::vector<Token>& tokens, std::u32string_view text, Extent extent);

  std::vector<Token> tokens_;
};

}  // namespace kiln::frontend::dockerfile
