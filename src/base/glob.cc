#include "base/glob.h"

#include <vector>

#include "base/utf8.h"

namespace kiln {
namespace {

struct Token {
  enum Kind { kByte, kOne, kStar, kSet } kind = kByte;
  char byte = 0;
  bool negated = false;
  std::vector<std::pair<char32_t, char32_t>> ranges;
};

Status bad_pattern() { return user_error(Code::kInvalidArgument, "syntax error in pattern"); }

// One end of a range inside brackets; advances `at`.
Result<char32_t> range_end(std::string_view pattern, std::size_t& at) {
  if (at >= pattern.size() || pattern[at] == '-' || pattern[at] == ']') return bad_pattern();
  if (pattern[at] == '\\' && ++at >= pattern.size()) return bad_pattern();
  Rune rune = decode_rune(pattern.substr(at));
  if (!rune.valid) return bad_pattern();
  at += rune.size;
  // A set must still be closed, so something has to follow.
  if (at >= pattern.size()) return bad_pattern();
  return rune.value;
}

// `at` stands behind '['; left behind ']'.
Result<Token> parse_set(std::string_view pattern, std::size_t& at) {
  Token token;
  token.kind = Token::kSet;
  if (at < pattern.size() && pattern[at] == '^') {
    token.negated = true;
    ++at;
  }
  while (true) {
    if (at < pattern.size() && pattern[at] == ']' && !token.ranges.empty()) {
      ++at;
      return token;
    }
    KILN_ASSIGN_OR_RETURN(char32_t low, range_end(pattern, at));
    char32_t high = low;
    if (pattern[at] == '-') {
      ++at;
      KILN_ASSIGN_OR_RETURN(high, range_end(pattern, at));
    }
    token.ranges.emplace_back(low, high);
  }
}

Result<std::vector<Token>> parse(std::string_view pattern) {
  std::vector<Token> tokens;
  std::size_t at = 0;
  while (at < pattern.size()) {
    char c = pattern[at++];
    if (c == '*') {
      tokens.push_back({Token::kStar, 0, false, {}});
    } else if (c == '?') {
      tokens.push_back({Token::kOne, 0, false, {}});
    } else if (c == '[') {
      KILN_ASSIGN_OR_RETURN(Token set, parse_set(pattern, at));
      tokens.push_back(std::move(set));
    } else {
      if (c == '\\') {
        if (at >= pattern.size()) return bad_pattern();
        c = pattern[at++];
      }
      tokens.push_back({Token::kByte, c, false, {}});
    }
  }
  return tokens;
}

// Bytes of `rest` that the token takes, 0 when it does not match.
std::size_t take(const Token& token, std::string_view rest) {
  if (rest.empty()) return 0;
  switch (token.kind) {
    case Token::kByte: return rest.front() == token.byte ? 1 : 0;
    case Token::kOne: return rest.front() == '/' ? 0 : decode_rune(rest).size;
    case Token::kSet: {
      Rune rune = decode_rune(rest);
      bool in = false;
      for (auto [low, high] : token.ranges) in = in || (low <= rune.value && rune.value <= high);
      return in != token.negated ? rune.size : 0;
    }
    case Token::kStar: break;
  }
  return 0;
}

}  // namespace

Result<bool> glob_match(std::string_view pattern, std::string_view name) {
  KILN_ASSIGN_OR_RETURN(std::vector<Token> tokens, parse(pattern));
  // Only the latest star is ever widened: an earlier one committed to its leftmost fit.
  std::size_t token = 0, at = 0, star_token = tokens.size() + 1, star_at = 0;
  while (true) {
    if (token < tokens.size() && tokens[token].kind == Token::kStar) {
      star_token = token++;
      star_at = at;
      continue;
    }
    if (token == tokens.size() && at == name.size()) return true;
    if (token < tokens.size()) {
      if (std::size_t taken = take(tokens[token], name.substr(at)); taken > 0) {
        ++token;
        at += taken;
        continue;
      }
    }
    if (star_token > tokens.size() || star_at >= name.size() || name[star_at] == '/') return false;
    at = ++star_at;
    token = star_token + 1;
  }
}

Status check_glob(std::string_view pattern) { return parse(pattern).status(); }

bool has_glob_meta(std::string_view pattern) { return pattern.find_first_of("*?[\\") != std::string_view::npos; }

}  // namespace kiln
