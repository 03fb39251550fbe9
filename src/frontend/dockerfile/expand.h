// Words of a Dockerfile: quotes, escapes and variables, after the manner of a shell.
//
//   WordLexer lexer(file.escape);
//   KILN_ASSIGN_OR_RETURN(Expansion e, lexer.expand("${NAME:-world}/$DIR", env));
//   e.text; e.used; e.unset;
//   KILN_ASSIGN_OR_RETURN(auto ports, lexer.words("80 $MORE", env));
//
// Forms: $v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?m} ${v?m} ${v#p} ${v##p} ${v%p} ${v%%p}
// ${v/p/r}
// ${v//p/r}; patterns know * and ? and \ before them. Expansion happens once: what a variable holds
// is not expanded again. Pure functions; a WordLexer is immutable, any thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::frontend::dockerfile {

// Where variables come from. Lookup gives nothing for a name that is not set (which differs from
// set and empty).
class Environment {
 public:
  virtual ~Environment() = default;
  virtual std::optional<std::string> get(std::string_view name) const = 0;
  // All names, for suggestions.
  virtual std::vector<std::string> names() const = 0;
};

// An ordered list of assignments; the last of a name wins. Names compare without case when made so
// (images of windows).
class EnvironmentList final : public Environment {
 public:
  enum class Names { kExact, kIgnoreCase };
  explicit EnvironmentList(Names names = Names::kExact) : compare_(names) {}
  // "K=V" entries; an entry without '=' is set and empty.
  static EnvironmentList from(const std::vector<std::string>& entries, Names names = Names::kExact);

  void set(std::string_view name, std::string_view value);
  void unset(std::string_view name);
  std::optional<std::string> get(std::string_view name) const override;
  std::vector<std::string> names() const override;
  // "K=V" in order of first assignment.
  std::vector<std::string> entries() const;

 private:
  std::string key_of(std::string_view name) const;
  Names compare_;
  std::vector<std::pair<std::string, std::string>> values_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

using VariableNames = std::set<std::string, std::less<>>;

struct Expansion {
  std::string text;
  std::vector<std::string> words;  // the same, split at unquoted blanks
  VariableNames used;              // names that were found
  VariableNames unset;             // names that were not
};

class WordLexer {
 public:
  struct Options {
    bool keep_quotes = false;    // quotes stay in the output
    bool keep_escapes = false;   // escape characters stay in the output
    bool ignore_quotes = false;  // quotes are ordinary characters (heredoc bodies)
    bool keep_unset = false;     // an unset variable stays as written ($v) instead of vanishing
  };
  explicit WordLexer(char escape = '\\') : WordLexer(escape, Options{}) {}
  WordLexer(char escape, Options options) : escape_(escape), options_(options) {}

  // InvalidArgument `failed to process "word": …` on a bad substitution or an open quote. What was not set until then
  // is in `unset`, if given, also when it fails.
  Result<Expansion> expand(std::string_view word, const Environment& env, VariableNames* unset = nullptr) const;
  // Only the text of it.
  Result<std::string> expand_text(std::string_view word, const Environment& env) const;
  // Only the words of it.
  Result<std::vector<std::string>> words(std::string_view word, const Environment& env) const;

  char escape() const { return escape_; }

 private:
  char escape_;
  Options options_;
};

}  // namespace kiln::frontend::dockerfile
