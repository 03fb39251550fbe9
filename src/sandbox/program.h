// A program's arguments, environment and the paths to try, laid out as execve(2) wants them before a
// child exists, so that the child allocates nothing.
//
//   Program program(process, user_home);
//   for (const char* path : program.candidates()) ::execve(path, program.argv(), program.envp());
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/spec.h"

namespace kiln::sandbox {

// Immutable once made; owns all text.
class Program {
 public:
  // `env` as the process is to have it; HOME is added when missing. A later variable of the same name
  // replaces the earlier one in place.
  Program(std::vector<std::string> args, const std::vector<std::string>& env, std::string_view home);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Null-terminated.
  const char* const* argv() const { return argv_.data(); }
  const char* const* envp() const { return envp_.data(); }
  // Where the program may be: itself when it holds a slash, else in each folder of PATH.
  const char* const* candidates() const { return candidates_.data(); }
  const std::vector<std::string>& env() const { return env_; }

 private:
  std::vector<std::string> args_, env_, paths_;
  std::vector<const char*> argv_, envp_, candidates_;
};

// The environment as described above.
std::vector<std::string> effective_env(const std::vector<std::string>& env, std::string_view home);

}  // namespace kiln::sandbox
