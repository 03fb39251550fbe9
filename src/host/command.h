// A program of the host, run to its end: a few lines in, its output back. For helpers of the machine
// (network plug-ins, packet filters); steps are run by the sandbox.
//
//   KILN_ASSIGN_OR_RETURN(CommandResult done, run_command({.args = {"/opt/cni/bin/bridge"}, .input = json}, stop));
//   if (done.code != 0) …
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::host {

struct Command {
  std::vector<std::string> args;  // args[0] is a path, or a name that is looked up in PATH
  std::vector<std::string> env;   // added to ours; a later one of the same name wins
  std::string input;
  std::chrono::milliseconds timeout{60000};
};

struct CommandResult {
  int code = 0;  // 128 + signal when a signal ended it
  std::string output;
  std::string errors;
};

// Blocks until the program has ended. A stop or the timeout kills it: Cancelled, DeadlineExceeded.
// NotFound when there is no such program. Output beyond 4 MiB a stream is dropped.
Result<CommandResult> run_command(const Command& command, std::stop_token stop);

// The path of a program by its name in PATH (a name with a slash is tried as it is).
std::optional<std::string> find_program(const std::string& name);

}  // namespace kiln::host
