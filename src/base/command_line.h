// Command lines from one table: the same rows parse the arguments, print help, complete in shells
// and become man pages (command_docs.h).
//
//   const Command kRoot = {.name = "kiln", .summary = "build utility", .options = {...}, .commands
//   = {...}}; KILN_ASSIGN_OR_RETURN(CommandLine line, CommandLine::parse(kRoot, arguments));
//   line.command().name; line.list("opt"); line.on("no-cache"); line.arguments();
//
// Accepts --name value, --name=value, -n value, -n=value, --switch, --switch=false; `--` ends the
// options. An outer command's options may also stand behind the inner command's name.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace kiln {

enum class OptionKind { kSwitch, kText, kList, kInteger, kNumber, kDuration };
// What a shell should offer for the value.
enum class Completion { kNone, kFile, kDirectory };

struct Option {
  std::string name;          // "output"
  std::string aliases = "";  // one letter each: "o"
  OptionKind kind = OptionKind::kText;
  std::string help;
  std::string fallback = "";  // the value when not given, as text
  std::string value_name = "value";
  bool hidden = false;
  Completion completion = Completion::kNone;
  std::vector<std::string> choices = {};  // for help and completion; not enforced
};

struct Command {
  std::string name;
  std::string aliases = "";      // words parted by blanks
  std::string summary;           // one line
  std::string arguments = "";    // "CONTEXT", "<ref>"
  std::string description = "";  // paragraphs for help and man page
  std::vector<Option> options = {};
  std::vector<Command> commands = {};
  bool hidden = false;
  int id = 0;                                 // the owner's own number for it
  Completion completion = Completion::kNone;  // of the arguments
};

// Detail of an error: the word that is no command.
inline constexpr std::string_view kUnknownCommandDetail = "kiln/unknown-command";

// A parsed line; refers to the table, which must live longer. Immutable; any thread.
class CommandLine {
 public:
  // `arguments` without the program's name. InvalidArgument with the flag or command named and a
  // near one suggested. "help", "--help", "-h" and "--version" are not errors: see wants_help.
  static Result<CommandLine> parse(const Command& root, std::span<const std::string> arguments);

  // The innermost command named, and all from the root to it.
  const Command& command() const { return *path_.back(); }
  const std::vector<const Command*>& path() const { return path_; }
  // --help or -h was given, or the command only groups others.
  bool wants_help() const { return wants_help_; }
  bool wants_version() const { return wants_version_; }

  bool given(std::string_view option) const;
  std::string text(std::string_view option) const;
  std::vector<std::string> list(std::string_view option) const;  // in the order given
  bool on(std::string_view option) const;
  std::int64_t integer(std::string_view option) const;
  double number(std::string_view option) const;
  Duration duration(std::string_view option) const;
  const std::vector<std::string>& arguments() const { return arguments_; }

 private:
  const Option* find(std::string_view name) const;
  Status take_option(std::string_view word, std::span<const std::string> rest, std::size_t& used);

  std::vector<const Command*> path_;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> arguments_;
  bool wants_help_ = false;
  bool wants_version_ = false;
};

// The nearest of the options by edit distance, or "" when none is near (fewer than three edits).
std::string nearest_word(std::string_view word, const std::vector<std::string>& options);

}  // namespace kiln
