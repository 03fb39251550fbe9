// A program started with chosen standard streams. Private to the room.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::client {

// Owns the process: told to end (SIGTERM) and waited for when destroyed. One thread.
class Child {
 public:
  struct Streams {
    int in = -1;  // negative: /dev/null
    int out = -1;
    int error = -1;  // negative: ours
  };
  // NotFound when there is no such program.
  static Result<Child> start(const std::vector<std::string>& argv, const Streams& streams);
  Child() = default;
  ~Child();
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;

  // Blocks until it ended; its exit status, 128 + n for a signal.
  int wait();
  // Leaves it running on its own.
  void detach() { pid_ = -1; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// Runs a program to its end with `input` on its stdin and gives what it printed.
struct Ran {
  int exit_status = 0;
  std::string output;
};
Result<Ran> run_program(const std::vector<std::string>& argv, std::string_view input);

}  // namespace kiln::client
