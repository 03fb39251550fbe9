// Proves that single instructions, directives and rules are read as the Dockerfile reference says;
// whole files are in tests/golden/dockerfile/parse.
#include "frontend/dockerfile/instructions.h"
#include "frontend/dockerfile/source_words.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "frontend/dockerfile/directives.h"
#include "frontend/dockerfile/ignore_file.h"

namespace kiln::frontend::dockerfile {
namespace {

std::string error_of(const std::string& text) {
  Linter linter;
  Result<Dockerfile> file = parse_dockerfile(text, linter);
  return file.ok() ? "" : std::string(message_of(file.status()));
}

std::string step_error(const std::string& step) {
  std::string message = error_of("FROM x\n" + step);
  std::string_view prefix = "dockerfile parse error on line 2: ";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

Dockerfile parsed(const std::string& text) {
  Linter linter;
  Result<Dockerfile> file = parse_dockerfile(text, linter);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *file : Dockerfile{};
}

TEST(Instructions, are_refused_with_a_sentence_that_helps) {
  EXPECT_EQ(step_error("FORM y"), "unknown instruction: FORM (did you mean FROM?)");
  EXPECT_EQ(step_error("copyy a b"), "unknown instruction: copyy (did you mean copy?)");
  EXPECT_EQ(step_error("COPY a"),
            "COPY requires at least two arguments, but only one was provided. Destination could "
            "not be determined");
  EXPECT_EQ(step_error("COPY --form=x a b"), "unknown flag: --form (did you mean from?)");
  EXPECT_EQ(step_error("COPY --link=maybe a b"), "expecting boolean value for flag --link, not: maybe");
  EXPECT_EQ(step_error("COPY --from=a --from=b c d"), "duplicate flag specified: --from");
  EXPECT_EQ(step_error("ADD x <<EOF\nEOF"), "ADD cannot accept a heredoc as a destination");
  EXPECT_EQ(step_error("ENV =b"), "ENV names can not be blank");
  EXPECT_EQ(step_error("ENV a"), "ENV must have two arguments: ENV <name>=<value>");
  EXPECT_EQ(step_error("LABEL a=b c"), "Syntax error - can't find = in \"c\". Must be of the form: name=value");
  EXPECT_EQ(step_error("USER"), "USER requires exactly one argument");
  EXPECT_EQ(step_error("VOLUME"), "VOLUME requires at least one argument");
  EXPECT_EQ(step_error("CMD [\"a\", 1]"), "when using JSON array syntax, arrays must be comprised of strings only");
  EXPECT_EQ(step_error("ONBUILD ONBUILD RUN x"), "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  EXPECT_EQ(step_error("ONBUILD FROM x"), "FROM isn't allowed as an ONBUILD trigger");
  EXPECT_EQ(step_error("HEALTHCHECK --interval=50ns CMD x"), "Interval \"interval\" cannot be less than 1ms");
  EXPECT_EQ(step_error("RUN --network=hots x"), "invalid network mode \"hots\" (did you mean host?)");
  EXPECT_EQ(step_error("RUN --mount=type=bind,from=$x y"),
            "'from' doesn't support variable expansion, define alias stage instead");
  EXPECT_EQ(error_of("FROM x AS 1"),
            "dockerfile parse error on line 1: invalid name for build stage: \"1\", name can't "
            "start with a number or contain symbols");
  EXPECT_EQ(step_error("FROM"), "FROM requires either one or three arguments: FROM <image> [AS <name>]");
  EXPECT_EQ(step_error("FROM --platform=a"), "FROM requires either one or three arguments: FROM <image> [AS <name>]");
  EXPECT_EQ(step_error("RUN \u00a0--mount=type=nothing x"), "");
  EXPECT_EQ(step_error("RUN --mount= x"), "failed to parse csv mounts: EOF");
  EXPECT_EQ(step_error("RUN --device= x"), "failed to parse csv devices: EOF");
  EXPECT_EQ(step_error("HEALTHCHECK --interval=5 CMD x"), "time: missing unit in duration \"5\"");
  EXPECT_EQ(error_of("FROM x y"),
            "dockerfile parse error on line 1: FROM requires either one or three arguments: FROM <image> [AS <name>]");
  EXPECT_EQ(error_of("RUN x"), "no build stage in current context");
  EXPECT_EQ(error_of("# only\n"), "file with no instructions");
  EXPECT_EQ(error_of("FROM x\nRUN <<EOF\nx\n"), "unterminated heredoc");
  EXPECT_EQ(error_of("# escape=`\n# escape=`\nFROM x"), "only one escape parser directive can be used");
  EXPECT_EQ(error_of("FROM x\nLABEL a=" + std::string(70000, 'b')),
            "dockerfile line greater than max allowed size of 65535");
}

TEST(Instructions, survive_long_chains_of_triggers) {
  std::string chain = "FROM x\n";
  for (int i = 0; i < 50000; ++i) chain += "ONBUILD \\\n";
  EXPECT_NE(error_of(chain + "RUN x"), "");
}

TEST(Errors, carry_the_lines_of_the_instruction) {
  Linter linter;
  Result<Dockerfile> file = parse_dockerfile("FROM x\n\nCOPY \\\n  a\n", linter);
  ASSERT_FALSE(file.ok());
  std::vector<Ranges> places = ranges_of(file.status());
  ASSERT_EQ(places.size(), 1u);
  ASSERT_EQ(places[0].size(), 2u);
  EXPECT_EQ(places[0][0].start.line, 3);
  EXPECT_EQ(places[0][1].end.line, 4);
}

TEST(Mounts, are_read_when_values_are_known) {
  Dockerfile file = parsed(
      "FROM x\nRUN --mount=type=cache,target=$T,sharing=locked,mode=0700 "
      "--mount=type=secret,id=k,env y");
  Instruction step = file.stages[0].steps[0];
  Expander expand = [](std::string_view text) -> Result<std::string> {
    return replace_all(std::string(text), "$T", "/t");
  };
  EXPECT_EQ(message_of(expand_instruction(step, expand)), "invalid field 'env' must be a key=value pair");
  step = parsed("FROM x\nRUN --mount=type=cache,target=$T,sharing=locked,mode=0700 y").stages[0].steps[0];
  ASSERT_TRUE(expand_instruction(step, expand).ok());
  const Mount& mount = std::get<dockerfile::Run>(step.body).mounts[0];
  EXPECT_EQ(mount.target, "/t");
  EXPECT_EQ(mount.sharing, Sharing::kLocked);
  EXPECT_EQ(mount.mode, 0700u);
  EXPECT_FALSE(mount.read_only);
}

TEST(Mounts, are_checked) {
  Expander same = [](std::string_view text) -> Result<std::string> { return std::string(text); };
  auto error = [&](std::string_view text) { return std::string(message_of(parse_mount(text, &same).status())); };
  EXPECT_EQ(error("type=bnd,target=/x"), "unsupported mount type \"bnd\" (did you mean bind?)");
  EXPECT_EQ(error("tagret=/x"), "unexpected key 'tagret' in 'tagret=/x' (did you mean target?)");
  EXPECT_EQ(error("type=bind,size=1m"), "unexpected key 'size' for mount type 'bind'");
  EXPECT_EQ(error("type=secret,from=x,id=a"), "secret mount should not have a from");
  EXPECT_EQ(error("type=bind,uid=1"), "uid not allowed for \"bind\" type mounts");
  EXPECT_EQ(parse_mount("type=tmpfs,target=/x,size=1.5m", &same)->size_bytes, 1536 * 1024);
}

TEST(Devices, have_a_name_and_may_be_required) {
  EXPECT_TRUE(parse_device("vendor1.com/device=foo,required")->required);
  EXPECT_EQ(parse_device("name=vendor1.com/device=foo")->name, "vendor1.com/device=foo");
  EXPECT_EQ(message_of(parse_device("a=b,name=c").status()), "device name already set to a=b");
}

TEST(Directives, are_found_before_anything_else) {
  EXPECT_EQ(detect_syntax("\xEF\xBB\xBF# Syntax = a/b:1 opts \nFROM x")->word, "a/b:1");
  EXPECT_EQ(detect_syntax("#!/bin/x\n//syntax=y")->ranges[0].start.line, 2);
  EXPECT_EQ(detect_syntax("{\"syntax\": \"z\"}")->value, "z");
  EXPECT_FALSE(detect_syntax("# hello\n# syntax=y\nFROM x"));
  EXPECT_FALSE(find_directive("check", "//check=skip=all"));
}

TEST(Lint, is_silenced_by_options_and_by_comments) {
  auto findings = [](const std::string& text) {
    std::vector<std::string> out;
    Result<LintOptions> options = lint_options_for(text, std::nullopt);
    EXPECT_TRUE(options.ok()) << options.status();
    Linter linter(*options, [&](const LintRule& rule, const std::string& message, const Ranges& ranges) {
      out.push_back(lint_line(rule.name, message, ranges[0].start.line));
    });
    (void)parse_dockerfile(text, linter);
    if (Status verdict = linter.verdict(); !verdict.ok()) out.emplace_back(message_of(verdict));
    return join(out, "\n");
  };
  EXPECT_EQ(findings("FROM x AS B\n"), "StageNameCasing: Stage name 'B' should be lowercase (line 1)");
  EXPECT_EQ(findings("# check=skip=StageNameCasing\nFROM x AS B\n"), "");
  EXPECT_EQ(findings("FROM x as b\n# check=skip=all\nMAINTAINER y\n"),
            "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)");
  EXPECT_EQ(findings("# check=error=true\nFROM x AS scratch\n"),
            "ReservedStageName: Stage name should not use the same name as reserved stage "
            "\"scratch\" (line 2)\n"
            "lint violation found for rules: ReservedStageName");
  EXPECT_EQ(findings("# check=experimental=all\n\n# nonsense\nARG a\nFROM x\nRun y\nRUN z"),
            "InvalidDefinitionDescription: Comment for ARG should follow the format: `# a "
            "<description>` (line 4)\n"
            "ConsistentInstructionCasing: Command 'Run' should match the case of the command "
            "majority (uppercase) (line 6)");
}

TEST(Lint, knows_names_of_secrets) {
  EXPECT_TRUE(looks_like_secret("GITHUB_TOKEN"));
  EXPECT_TRUE(looks_like_secret("api_key"));
  EXPECT_FALSE(looks_like_secret("PUBLIC_KEY"));
  EXPECT_FALSE(looks_like_secret("KEYBOARD"));
}

TEST(IgnoreFile, cleans_its_lines) {
  EXPECT_EQ(join(*parse_ignore_file("\xEF\xBB\xBF# c\n /a/b/ \n\n! /x\n./y/../z\n"), "|"), "a/b|!x|z");
}

TEST(Triggers, keep_their_heredocs) {
  Dockerfile file = parsed("FROM x\nONBUILD COPY <<-E /y\n\tbody\n\tE\n");
  const std::string& payload = std::get<Onbuild>(file.stages[0].steps[0].body).payload;
  Result<Instruction> step = parse_trigger(payload, lines(7, 7));
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(std::get<Copy>(step->body).paths.inline_files[0].data, "body\n");
  EXPECT_EQ(step->ranges[0].start.line, 7);
}

TEST(Errors, know_the_exact_words) {
  Linter silent;
  const std::string text = "FROM x\nCOPY --from=a \\\n  --form=b c /d\n";
  auto file = parse_dockerfile(text, silent);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(word_of(file.status()), "--form");
  auto place = find_word(text, ranges_of(file.status()).front(), word_of(file.status()));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->start.line, 3);
  EXPECT_EQ(place->start.character, 2);
  EXPECT_EQ(place->end.character, 8);
}

TEST(SourceWords, stand_where_the_file_has_them) {
  const std::string text = "FROM x\nRUN \"a b\" c\\\n# not here\n\n  d\\\ne f\nCMD y\n";
  std::vector<std::string> words;
  for (const SourceWord& word : source_words(text, 2, 6, '\\')) {
    words.push_back(word.text);
    EXPECT_EQ(text.substr(word.offset, 1), word.text.substr(0, 1));
  }
  EXPECT_EQ(words, (std::vector<std::string>{"RUN", "\"a b\"", "c", "de", "f"}));
}

TEST(SourceWords, prefer_a_word_that_stands_alone) {
  auto place = find_word("RUN --mount=typ=x,type=y", {{{1, 0}, {1, 0}}}, "typ");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->start.character, 12);
  EXPECT_FALSE(find_word("RUN x", {{{1, 0}, {1, 0}}}, "absent"));
  EXPECT_FALSE(find_word("RUN x", {{{9, 0}, {9, 0}}}, "x"));
}

}  // namespace
}  // namespace kiln::frontend::dockerfile
