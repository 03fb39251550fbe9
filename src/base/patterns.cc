#include "base/patterns.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "base/glob.h"
#include "base/gopath.h"
#include "base/text.h"
#include "base/utf8.h"

namespace kiln {
namespace {

// What a pattern is made of. kDirs is "**" before something: nothing, or anything up to a '/';
// kAll is "**" at the end: anything at all.
struct Token {
  enum Kind { kLiteral, kOne, kStar, kDirs, kAll } kind;
  std::string literal;
};

struct Compiled {
  enum Kind { kExact, kPrefix, kSuffix, kTokens, kRegexp } kind = kExact;
  std::string text;  // exact, prefix or suffix without "**"
  std::vector<Token> tokens;
  std::shared_ptr<const re2::RE2> regexp;
};

bool match_tokens(const std::vector<Token>& tokens, std::string_view path) {
  // The set of places reached after each token; linear in the path, whatever the pattern.
  absl::InlinedVector<char, 256> at(path.size() + 1, 0), next(path.size() + 1, 0);
  at[0] = 1;
  for (const Token& token : tokens) {
    std::fill(next.begin(), next.end(), 0);
    bool any = false, spread = false;
    for (std::size_t i = 0; i <= path.size(); ++i) {
      if (token.kind == Token::kLiteral) {
        if (at[i] && path.substr(i, token.literal.size()) == token.literal) next[i + token.literal.size()] = any = true;
      } else if (token.kind == Token::kOne) {
        if (at[i] && i < path.size() && path[i] != '/') next[i + decode_rune(path.substr(i)).size] = any = true;
      } else {
        // '.' of the underlying expressions stops at a newline, "[^/]" does not.
        char stop = token.kind == Token::kStar ? '/' : '\n';
        if (i > 0 && path[i - 1] == stop) spread = false;
        bool boundary = token.kind != Token::kDirs || (i > 0 && path[i - 1] == '/');
        if (at[i] || (spread && boundary)) next[i] = any = true;
        spread = spread || at[i];
      }
    }
    if (!any) return false;
    std::swap(at, next);
  }
  return at[path.size()] != 0;
}

void add_literal(std::vector<Token>& tokens, char c) {
  if (tokens.empty() || tokens.back().kind != Token::kLiteral) tokens.push_back({Token::kLiteral, ""});
  tokens.back().literal.push_back(c);
}

// Brackets, escapes and what a regular expression would read as its own keep the meaning they have
// there; clients rely on character sets at least.
std::string to_regexp(std::string_view pattern) {
  std::string out = "^";
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    if (c == '*' && i + 1 < pattern.size() && pattern[i + 1] == '*') {
      ++i;
      if (i + 1 < pattern.size() && pattern[i + 1] == '/') ++i;
      out += i + 1 == pattern.size() ? ".*" : "(.*/)?";
    } else if (c == '*') {
      out += "[^/]*";
    } else if (c == '?') {
      out += "[^/]";
    } else if (std::string_view(".+()$").find(c) != std::string_view::npos) {
      out += {'\\', c};
    } else if (c == '\\') {
      out += '\\';
      if (i + 1 < pattern.size()) out += pattern[++i];
    } else {
      out += c;
    }
  }
  return out + "$";
}

Result<Compiled> compile(const std::string& pattern) {
  Compiled out;
  out.text = pattern;
  bool special = pattern.find_first_of("[]\\") != std::string::npos;
  bool foreign = special || pattern.find_first_of("^|{}") != std::string::npos;
  // A single "**" at an end leaves a plain comparison.
  bool plain = !special;
  std::size_t stars = pattern.find('*');
  if (pattern.find('?') != std::string::npos) plain = false;
  if (plain && stars == std::string::npos) return out;
  if (plain && pattern.compare(stars, 2, "**") == 0) {
    std::size_t other = pattern.find('*', stars + 2);
    if (stars == 0 && other == std::string::npos) {
      out.kind = Compiled::kSuffix;
      out.text = pattern.substr(2);
      return out;
    }
    if (stars + 2 == pattern.size() && stars > 0) {
      out.kind = Compiled::kPrefix;
      out.text = pattern.substr(0, stars);
      return out;
    }
  }
  if (foreign) {
    out.kind = Compiled::kRegexp;
    re2::RE2::Options options;
    options.set_log_errors(false);
    out.regexp = std::make_shared<re2::RE2>(to_regexp(pattern), options);
    if (!out.regexp->ok()) return user_error(Code::kInvalidArgument, "syntax error in pattern");
    return out;
  }
  out.kind = Compiled::kTokens;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern.compare(i, 2, "**") == 0) {
      i += pattern.compare(i, 3, "**/") == 0 ? 2 : 1;
      out.tokens.push_back({i + 1 >= pattern.size() ? Token::kAll : Token::kDirs, ""});
    } else if (pattern[i] == '*') {
      out.tokens.push_back({Token::kStar, ""});
    } else if (pattern[i] == '?') {
      out.tokens.push_back({Token::kOne, ""});
    } else {
      add_literal(out.tokens, pattern[i]);
    }
  }
  return out;
}

bool compiled_matches(const Compiled& compiled, std::string_view path) {
  switch (compiled.kind) {
    case Compiled::kExact: return path == compiled.text;
    case Compiled::kPrefix: return path.substr(0, compiled.text.size()) == compiled.text;
    case Compiled::kSuffix:
      if (path.size() >= compiled.text.size() && path.substr(path.size() - compiled.text.size()) == compiled.text)
        return true;
      return compiled.text[0] == '/' && path == std::string_view(compiled.text).substr(1);
    case Compiled::kTokens: return match_tokens(compiled.tokens, path);
    case Compiled::kRegexp: return re2::RE2::FullMatch(re2::StringPiece(path.data(), path.size()), *compiled.regexp);
  }
  return false;
}

// Strings to pattern numbers, walked byte by byte from the root; most walks end after a byte or two.
class Trie {
 public:
  void add(std::string_view key, std::uint32_t pattern) {
    std::uint32_t node = 0;
    for (char c : key) {
      auto [it, made] = children_.try_emplace(key_of(node, c), static_cast<std::uint32_t>(ends_.size()));
      if (made) ends_.emplace_back();
      node = it->second;
    }
    ends_[node].push_back(pattern);
  }
  // Calls `found` for each pattern whose key begins the sequence that `next` yields (-1 ends it).
  template <typename Next, typename Found>
  void walk(Next next, Found found) const {
    std::uint32_t node = 0;
    while (true) {
      for (std::uint32_t pattern : ends_[node]) found(pattern);
      if (children_.empty()) return;
      int c = next();
      if (c < 0) return;
      auto it = children_.find(key_of(node, static_cast<char>(c)));
      if (it == children_.end()) return;
      node = it->second;
    }
  }

 private:
  static std::uint64_t key_of(std::uint32_t node, char c) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(c);
  }
  absl::flat_hash_map<std::uint64_t, std::uint32_t> children_;
  std::vector<std::vector<std::uint32_t>> ends_{1};
};

struct Candidate {
  std::uint32_t pattern;
  std::uint32_t length;  // of the path or parent that may match
};
using Candidates = absl::InlinedVector<Candidate, 16>;

absl::string_view as_absl(std::string_view text) { return {text.data(), text.size()}; }

constexpr std::uint32_t kFromParent = ~0u;

}  // namespace

struct PatternMatcher::Index {
  std::vector<Pattern> patterns;
  std::vector<Compiled> compiled;
  bool exclusions = false;
  absl::flat_hash_map<std::string, std::vector<std::uint32_t>> exact;
  absl::flat_hash_map<std::string, std::vector<std::uint32_t>> by_element;
  Trie by_prefix, by_suffix, by_name;
  std::vector<std::uint32_t> loose;  // no literal to go by

  void place(std::uint32_t number);
  void gather(std::string_view path, Candidates& out) const;
  bool evaluate(std::string_view path, const State& parent, State* out) const;
};

void PatternMatcher::Index::place(std::uint32_t number) {
  const Compiled& it = compiled[number];
  if (it.kind == Compiled::kExact) {
    exact[it.text].push_back(number);
  } else if (it.kind == Compiled::kPrefix) {
    by_prefix.add(it.text, number);
  } else if (it.kind == Compiled::kSuffix) {
    by_suffix.add(std::string(it.text.rbegin(), it.text.rend()), number);
    if (!it.text.empty() && it.text[0] == '/') exact[it.text.substr(1)].push_back(number);
  } else if (it.kind == Compiled::kRegexp) {
    loose.push_back(number);
  } else {
    const Token& first = it.tokens.front();
    const Token& last = it.tokens.back();
    std::size_t prefix = first.kind == Token::kLiteral ? first.literal.size() : 0;
    std::size_t suffix = last.kind == Token::kLiteral ? last.literal.size() : 0;
    if (prefix > 0 && prefix >= suffix) return by_prefix.add(first.literal, number);
    if (suffix > 0) return by_suffix.add(std::string(last.literal.rbegin(), last.literal.rend()), number);
    // "**/name/…": the path has the element "name". "**/name*": its last element begins so.
    if (it.tokens.size() > 1 && first.kind == Token::kDirs && it.tokens[1].kind == Token::kLiteral) {
      const std::string& literal = it.tokens[1].literal;
      if (std::size_t slash = literal.find('/'); slash != std::string::npos && slash > 0) {
        by_element[literal.substr(0, slash)].push_back(number);
        return;
      }
      bool stays = std::none_of(it.tokens.begin() + 1, it.tokens.end(), [](const Token& token) {
        return token.kind == Token::kDirs || token.kind == Token::kAll || token.literal.find('/') != std::string::npos;
      });
      if (stays) return by_name.add(literal, number);
    }
    loose.push_back(number);
  }
}

void PatternMatcher::Index::gather(std::string_view path, Candidates& out) const {
  auto found = [&](std::uint32_t pattern) { out.push_back({pattern, static_cast<std::uint32_t>(path.size())}); };
  if (!exact.empty()) {
    if (auto it = exact.find(as_absl(path)); it != exact.end())
      std::for_each(it->second.begin(), it->second.end(), found);
  }
  std::size_t from = 0, to = path.size();
  by_prefix.walk([&] { return from < path.size() ? static_cast<unsigned char>(path[from++]) : -1; }, found);
  by_suffix.walk([&] { return to > 0 ? static_cast<unsigned char>(path[--to]) : -1; }, found);
  std::size_t name = path.rfind('/') + 1;  // npos + 1 == 0
  by_name.walk([&] { return name < path.size() ? static_cast<unsigned char>(path[name++]) : -1; }, found);
  if (!by_element.empty()) {
    std::size_t begin = 0;
    for (std::size_t end; (end = path.find('/', begin)) != std::string_view::npos; begin = end + 1) {
      if (auto it = by_element.find(as_absl(path.substr(begin, end - begin))); it != by_element.end()) {
        std::for_each(it->second.begin(), it->second.end(), found);
      }
    }
  }
  std::for_each(loose.begin(), loose.end(), found);
}

bool PatternMatcher::Index::evaluate(std::string_view path, const State& parent, State* out) const {
  if (out) {
    out->known_ = true;
    out->matched_.clear();
  }
  Candidates candidates;
  if (parent.known_) {
    for (std::uint32_t pattern : parent.matched_) candidates.push_back({pattern, kFromParent});
  } else {
    for (std::size_t end = path.find('/', 1); end != std::string_view::npos; end = path.find('/', end + 1)) {
      gather(path.substr(0, end), candidates);
    }
  }
  gather(path, candidates);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.pattern < b.pattern; });
  bool matched = false;
  std::uint32_t settled = kFromParent;  // the pattern that already matched
  for (const Candidate& candidate : candidates) {
    if (candidate.pattern == settled) continue;
    bool exclusion = patterns[candidate.pattern].exclusion;
    if (candidate.length != kFromParent) {
      // What cannot change the outcome is not tested, and so not known to the children either.
      if (exclusion != matched) continue;
      if (!compiled_matches(compiled[candidate.pattern], path.substr(0, candidate.length))) continue;
    }
    settled = candidate.pattern;
    matched = !exclusion;
    if (out) out->matched_.push_back(candidate.pattern);
  }
  return matched;
}

PatternMatcher::PatternMatcher() : index_(std::make_shared<Index>()) {}

Result<PatternMatcher> PatternMatcher::make(std::span<const std::string> patterns) {
  auto index = std::make_shared<Index>();
  for (const std::string& raw : patterns) {
    std::string_view text = trim(raw);
    if (text.empty()) continue;
    Pattern pattern{clean_path(text), false};
    if (pattern.text[0] == '!') {
      if (pattern.text.size() == 1) {
        return user_error(Code::kInvalidArgument, "illegal exclusion pattern: \"!\"");
      }
      pattern.exclusion = index->exclusions = true;
      pattern.text.erase(0, 1);
    }
    KILN_RETURN_IF_ERROR(check_glob(pattern.text));
    KILN_ASSIGN_OR_RETURN(Compiled compiled, compile(pattern.text));
    index->patterns.push_back(std::move(pattern));
    index->compiled.push_back(std::move(compiled));
    index->place(static_cast<std::uint32_t>(index->patterns.size() - 1));
  }
  PatternMatcher out;
  out.index_ = std::move(index);
  return out;
}

bool PatternMatcher::matches_or_parent(std::string_view path) const { return index_->evaluate(path, State(), nullptr); }

bool PatternMatcher::matches(std::string_view path, const State& parent, State* out) const {
  return index_->evaluate(path, parent, out);
}

bool PatternMatcher::empty() const { return index_->patterns.empty(); }
bool PatternMatcher::has_exclusions() const { return index_->exclusions; }
const std::vector<PatternMatcher::Pattern>& PatternMatcher::patterns() const { return index_->patterns; }

}  // namespace kiln
