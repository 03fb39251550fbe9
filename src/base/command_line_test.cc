// Proves that one table parses arguments and prints help, completions and a man page.
#include "base/command_line.h"

#include <gtest/gtest.h>

#include "base/command_docs.h"
#include "base/text.h"

namespace kiln {
namespace {

const Command& table() {
  static const Command root = {
      .name = "tool",
      .summary = "does things",
      .options = {{.name = "addr", .help = "where", .fallback = "unix:///x"},
                  {.name = "debug", .kind = OptionKind::kSwitch, .help = "more"}},
      .commands = {{.name = "build",
                    .aliases = "b",
                    .summary = "builds",
                    .arguments = "CONTEXT",
                    .options = {{.name = "opt", .aliases = "o", .kind = OptionKind::kList, .help = "options"},
                                {.name = "wait", .kind = OptionKind::kDuration, .help = "how long"}}},
                   {.name = "debug", .summary = "group", .commands = {{.name = "info", .summary = "tells"}}}}};
  return root;
}

Result<CommandLine> parse(std::string_view text) {
  std::vector<std::string> arguments;
  for (std::string_view word : words(text)) arguments.emplace_back(word);
  return CommandLine::parse(table(), arguments);
}

std::string error(std::string_view text) { return std::string(message_of(parse(text).status())); }

TEST(CommandLine, takes_options_in_all_their_forms) {
  Result<CommandLine> line = parse("--addr=tcp://h b -o a=1 --opt b --addr x --debug --wait 1m30s ctx -- -z");
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->command().name, "build");
  EXPECT_EQ(line->text("addr"), "x");
  EXPECT_EQ(join(line->list("opt"), ","), "a=1,b");
  EXPECT_TRUE(line->on("debug"));
  EXPECT_EQ(line->duration("wait"), std::chrono::seconds(90));
  EXPECT_EQ(join(line->arguments(), ","), "ctx,-z");
  EXPECT_EQ(parse("build")->text("addr"), "unix:///x");
  EXPECT_FALSE(parse("--debug=false build")->on("debug"));
}

TEST(CommandLine, says_what_is_wrong_and_what_is_near) {
  EXPECT_EQ(error("biuld"), "unknown command \"biuld\" (did you mean build?)");
  EXPECT_EQ(error("build --optt x"), "unknown flag --optt (did you mean --opt?); see --help");
  EXPECT_EQ(error("build --opt"), "flag needs a value: --opt");
  EXPECT_EQ(error("build --wait soon"), "invalid value \"soon\" for flag --wait: want a duration such as 10s or 1h30m");
}

TEST(CommandLine, gives_help_where_there_is_nothing_to_do) {
  EXPECT_TRUE(parse("")->wants_help());
  EXPECT_TRUE(parse("debug")->wants_help());
  EXPECT_TRUE(parse("build --help")->wants_help());
  EXPECT_FALSE(parse("debug info")->wants_help());
}

TEST(CommandDocs, are_made_of_the_same_rows) {
  Result<CommandLine> line = parse("build --help");
  EXPECT_NE(help_text(line->path(), "tool").find("-o, --opt value"), std::string::npos);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_NE(completion_script(table(), "tool", shell)->find("opt"), std::string::npos);
  }
  EXPECT_NE(man_page(table(), "tool", "1", 1).find(".SS tool build CONTEXT"), std::string::npos);
}

}  // namespace
}  // namespace kiln
