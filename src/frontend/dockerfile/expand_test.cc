// Proves that words expand as a shell's would, with the forms and errors a Dockerfile knows.
#include "frontend/dockerfile/expand.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace kiln::frontend::dockerfile {
namespace {

EnvironmentList environment() {
  return EnvironmentList::from({"HOME=/root", "EMPTY=", "PATTERN=*/", "FILE=src/lib/a.tar.gz", "TWO=a  b"});
}

std::string expanded(std::string_view word) {
  Result<std::string> text = WordLexer().expand_text(word, environment());
  return text.ok() ? *text : "error: " + std::string(message_of(text.status()));
}

TEST(WordLexer, replaces_names_and_keeps_what_is_none) {
  EXPECT_EQ(expanded("a$HOME.b"), "a/root.b");
  EXPECT_EQ(expanded("${HOME}x$. $"), "/rootx$. $");
  EXPECT_EQ(expanded("\\$HOME '$HOME' \"$HOME\""), "$HOME $HOME /root");
  EXPECT_EQ(expanded("$1x$@y$#"), "xy");
}

TEST(WordLexer, tells_unset_from_empty) {
  EXPECT_EQ(expanded("${EMPTY-d}${EMPTY:-d}${NO-d}${NO:-d}"), "ddd");
  EXPECT_EQ(expanded("${EMPTY+a}${EMPTY:+a}${NO+a}${HOME:+a}"), "aa");
  EXPECT_EQ(expanded("${NO:?is needed for ${HOME}}"),
            "error: failed to process \"${NO:?is needed for ${HOME}}\": NO: is needed for /root");
  EXPECT_EQ(expanded("${EMPTY:?}"), "error: failed to process \"${EMPTY:?}\": EMPTY: is not allowed to be empty");
  EXPECT_EQ(expanded("${EMPTY?}"), "");
}

TEST(WordLexer, strips_shortest_and_longest_patterns) {
  EXPECT_EQ(expanded("${FILE#*/}"), "lib/a.tar.gz");
  EXPECT_EQ(expanded("${FILE##*/}"), "a.tar.gz");
  EXPECT_EQ(expanded("${FILE%.*}"), "src/lib/a.tar");
  EXPECT_EQ(expanded("${FILE%%.*}"), "src/lib/a");
  EXPECT_EQ(expanded("${FILE#\\*}"), "src/lib/a.tar.gz");
  EXPECT_EQ(expanded("${FILE##$PATTERN}"), "a.tar.gz");
}

TEST(WordLexer, replaces_the_first_or_all_matches) {
  EXPECT_EQ(expanded("${FILE/a/-}"), "src/lib/-.tar.gz");
  EXPECT_EQ(expanded("${FILE//a/-}"), "src/lib/-.t-r.gz");
  EXPECT_EQ(expanded("${FILE//\\//_}"), "src_lib_a.tar.gz");
  EXPECT_EQ(expanded("${FILE/?lib/}"), "src/a.tar.gz");
  EXPECT_EQ(expanded("${EMPTY//x/y}"), "");
}

TEST(WordLexer, says_what_is_wrong_with_a_substitution) {
  EXPECT_EQ(expanded("${}"), "error: failed to process \"${}\": syntax error: bad substitution");
  EXPECT_EQ(expanded("${HOME"), "error: failed to process \"${HOME\": syntax error: missing '}'");
  EXPECT_EQ(expanded("${HOME:#x}"),
            "error: failed to process \"${HOME:#x}\": unsupported modifier (:#) in substitution");
  EXPECT_EQ(expanded("${HOME/x}"), "error: failed to process \"${HOME/x}\": syntax error: missing '/' in ${}");
  EXPECT_EQ(expanded("\"open"),
            "error: failed to process \"\\\"open\": unexpected end of statement while looking for "
            "matching double-quote");
}

TEST(WordLexer, survives_deep_nesting) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "${A:-";
  EXPECT_TRUE(expanded(deep).starts_with("error: "));
}

TEST(WordLexer, splits_expanded_values_but_not_quoted_ones) {
  EnvironmentList env = environment();
  EXPECT_EQ(join(*WordLexer().words("x$TWO y", env), "|"), "xa|b|y");
  EXPECT_EQ(join(*WordLexer().words("x\"$TWO\" y", env), "|"), "xa  b|y");
  EXPECT_EQ(join(*WordLexer().words("a\\ b c${NO:-d}", env), "|"), "a b|cd");
}

TEST(WordLexer, accounts_for_used_and_unset_names) {
  Result<Expansion> e = WordLexer().expand("${HOME}$NO${EMPTY:-$OTHER}", environment());
  ASSERT_TRUE(e.ok());
  EXPECT_EQ(join(e->used, ","), "EMPTY,HOME");
  EXPECT_EQ(join(e->unset, ","), "NO,OTHER");
  VariableNames unset;
  EXPECT_FALSE(WordLexer().expand("$NO${OTHER:?must}$HOME", environment(), &unset).ok());
  EXPECT_EQ(join(unset, ","), "NO,OTHER");
  EXPECT_FALSE(WordLexer().expand("${NO:=$OTHER}", environment(), &unset).ok());
  EXPECT_EQ(join(unset, ","), "NO,OTHER");
}

TEST(WordLexer, keeps_quotes_and_unset_names_when_asked) {
  WordLexer lexer('\\', {.keep_quotes = true, .keep_unset = true});
  EXPECT_EQ(*lexer.expand_text("'a' \"$NO\" ${NO:-x} $HOME", environment()), "'a' \"$NO\" ${NO:-x} /root");
  WordLexer contents('\\', {.ignore_quotes = true});
  EXPECT_EQ(*contents.expand_text("it's $HOME", environment()), "it's /root");
}

TEST(WordLexer, uses_the_backtick_when_the_file_says_so) {
  EXPECT_EQ(*WordLexer('`').expand_text("c:\\x`$HOME", environment()), "c:\\x$HOME");
}

TEST(EnvironmentList, ignores_case_for_windows) {
  EnvironmentList env(EnvironmentList::Names::kIgnoreCase);
  env.set("Path", "a");
  env.set("PATH", "b");
  EXPECT_EQ(env.get("path"), "b");
  EXPECT_EQ(join(env.entries(), ","), "Path=b");
}

}  // namespace
}  // namespace kiln::frontend::dockerfile
