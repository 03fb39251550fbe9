// The daemon's command line: upstream's flags, and few of our own.
//
//   KILN_ASSIGN_OR_RETURN(CommandLine line, parse_command_line(arguments));
//   if (line.action == Action::kRun) run(line.config);
//
// Every flag of upstream's daemon parses. One whose feature is not here yet fails with a sentence
// that names it. Precedence: command line, then configuration file, then default.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "daemon/config.h"

namespace kiln::daemon {

enum class Action { kRun, kHelp, kVersion };

struct CommandLine {
  Action action = Action::kRun;
  Config config;
};

// `arguments` without the program's name. Reads the configuration file. InvalidArgument for unknown
// flags and bad values, Unimplemented for features that are not here.
Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments);

// What --help prints. `program` is the name the daemon was started under.
std::string help_text(const std::string& program);
// "<program> <package> <version> <revision>": four words, which clients split.
std::string version_text(const std::string& program);

}  // namespace kiln::daemon
