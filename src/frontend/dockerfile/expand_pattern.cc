#include "frontend/dockerfile/expand_pattern.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/letters.h"

namespace kiln::frontend::dockerfile {
namespace {

// A text as characters, with the place of each in the bytes; an invalid byte is a character of its
// own that nothing but a wildcard matches.
struct Characters {
  std::u32string text;
  std::vector<std::size_t> offsets;  // one more than characters
};

Characters characters_of(std::string_view text) {
  Characters out;
  std::size_t at = 0;
  while (at < text.size()) {
    Rune c = decode_rune(text.substr(at));
    out.text.push_back(c.value);
    out.offsets.push_back(at);
    at += c.size;
  }
  out.offsets.push_back(text.size());
  return out;
}

}  // namespace

Result<ExpandPattern> ExpandPattern::parse(std::string_view text) {
  ExpandPattern pattern;
  std::u32string characters = characters_of(text).text;
  for (std::size_t i = 0; i < characters.size(); ++i) {
    char32_t c = characters[i];
    if (c == '*') {
      pattern.tokens_.push_back({Kind::kAnyRun, 0});
    } else if (c == '?') {
      pattern.tokens_.push_back({Kind::kAnyOne, 0});
    } else if (c == '\\') {
      char32_t next = i + 1 < characters.size() ? characters[i + 1] : 0;
      if (next != '*' && next != '?' && next != '\\' && next != '/' && next != '}') {
        return user_error(Code::kInvalidArgument,
                          fmt::format("invalid pattern ({}) in substitution: invalid escape '\\{}'", text,
                                      next != 0 && next < 0x80 ? std::string(1, static_cast<char>(next)) : ""));
      }
      pattern.tokens_.push_back({Kind::kLiteral, next});
      ++i;
    } else {
      pattern.tokens_.push_back({Kind::kLiteral, c});
    }
  }
  return pattern;
}

// Walks all positions the tokens may have reached at once, so the work is tokens times characters.
std::ptrdiff_t ExpandPattern::match(const std::vector<Token>& tokens, std::u32string_view text, Extent extent) {
  std::vector<char> here(tokens.size() + 1, 0), next;
  here[0] = 1;
  auto pass_runs = [&](std::vector<char>& states) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (states[i] && tokens[i].kind == Kind::kAnyRun) states[i + 1] = 1;
    }
  };
  pass_runs(here);
  std::ptrdiff_t found = -1;
  for (std::size_t at = 0;; ++at) {
    if (here.back()) {
      found = static_cast<std::ptrdiff_t>(at);
      if (extent == Extent::kShortest) return found;
    }
    if (at == text.size()) return found;
    next.assign(tokens.size() + 1, 0);
    bool alive = false;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (!here[i]) continue;
      const Token& token = tokens[i];
      bool takes = token.kind == Kind::kLiteral ? token.literal == text[at] : text[at] != '\n';
      if (!takes) continue;
      next[token.kind == Kind::kAnyRun ? i : i + 1] = 1;
      alive = true;
    }
    if (!alive) return found;
    pass_runs(next);
    here.swap(next);
  }
}

std::string ExpandPattern::strip_prefix(std::string_view value, Extent extent) const {
  Characters characters = characters_of(value);
  std::ptrdiff_t length = match(tokens_, characters.text, extent);
  return std::string(length < 0 ? value : value.substr(characters.offsets[static_cast<std::size_t>(length)]));
}

std::string ExpandPattern::strip_suffix(std::string_view value, Extent extent) const {
  Characters characters = characters_of(value);
  std::u32string reversed(characters.text.rbegin(), characters.text.rend());
  std::vector<Token> tokens(tokens_.rbegin(), tokens_.rend());
  std::ptrdiff_t length = match(tokens, reversed, extent);
  if (length < 0) return std::string(value);
  return std::string(value.substr(0, characters.offsets[reversed.size() - static_cast<std::size_t>(length)]));
}

std::string ExpandPattern::replace(std::string_view value, std::string_view replacement, Count count) const {
  Characters characters = characters_of(value);
  std::u32string_view text = characters.text;
  auto bytes = [&](std::size_t from, std::size_t to) {
    return value.substr(characters.offsets[from], characters.offsets[to] - characters.offsets[from]);
  };
  std::string out;
  std::size_t copied = 0;
  bool just_matched = false;  // an empty match right behind a match does not count
  for (std::size_t at = 0; at <= text.size();) {
    std::ptrdiff_t length = match(tokens_, text.substr(at), Extent::kLongest);
    if (length < 0 || (length == 0 && just_matched)) {
      just_matched = false;
      ++at;
      continue;
    }
    out.append(bytes(copied, at)).append(replacement);
    copied = at + static_cast<std::size_t>(length);
    if (count == Count::kFirst) break;
    just_matched = length > 0;
    at = length > 0 ? copied : at + 1;
  }
  return out.append(bytes(copied, text.size()));
}

}  // namespace kiln::frontend::dockerfile
