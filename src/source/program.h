// Programs of this machine that sources call: git, and those that check signatures. A process group of
// its own, that a stop ends whole. Private to the room.
//
//   KILN_ASSIGN_OR_RETURN(std::string path, find_program("git"));
//   KILN_ASSIGN_OR_RETURN(Outcome outcome, run_program({.path = path, .args = {"git", "--version"}}, stop));
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::source {

struct Program {
  std::string path;
  std::vector<std::string> args;  // the first is its name
  std::vector<std::string> env;   // nothing of the daemon's own
  std::string directory = "/";
  std::string input = "/dev/null";  // file that it reads as standard input
};
struct Outcome {
  int exit_code = 0;  // 128 and the signal when one ended it
  std::string out;
  std::string err;
};

// Where PATH has it. FailedPrecondition naming it when it is not installed.
Result<std::string> find_program(const std::string& name);
// Blocking, cancellable. Any exit code is an outcome; errors are those of starting it. `on_output` sees
// the bytes as they come.
Result<Outcome> run_program(const Program& program, std::stop_token stop,
                            const std::function<void(bool is_err, std::string_view)>& on_output = {});

}  // namespace kiln::source
