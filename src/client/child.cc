#include "client/internal/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace kiln::client {

Result<Child> Child::start(const std::vector<std::string>& argv, const Streams& streams) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  auto redirect = [&](int from, int to, int flags) {
    if (from >= 0) {
      posix_spawn_file_actions_adddup2(&actions, from, to);
    } else if (to != STDERR_FILENO) {
      posix_spawn_file_actions_addopen(&actions, to, "/dev/null", flags, 0);
    }
  };
  redirect(streams.in, STDIN_FILENO, O_RDONLY);
  redirect(streams.out, STDOUT_FILENO, O_WRONLY);
  redirect(streams.error, STDERR_FILENO, O_WRONLY);
  // Our signals are blocked for a thread that waits for them; the child wants its own.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  Child child;
  int error = posix_spawnp(&child.pid_, words[0], &actions, &attributes, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    child.pid_ = -1;
    return errno_error(error, "start '" + argv[0] + "'");
  }
  return child;
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

Child::~Child() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  wait();
}

int Child::wait() {
  if (pid_ <= 0) return 0;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<Ran> run_program(const std::vector<std::string>& argv, std::string_view input) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  host::Fd in_read(in[0]), in_write(in[1]);
  if (pipe2(out, O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  host::Fd out_read(out[0]), out_write(out[1]);
  KILN_ASSIGN_OR_RETURN(Child child, Child::start(argv, {.in = in_read.get(), .out = out_write.get()}));
  in_read.reset();
  out_write.reset();
  (void)host::write_all(in_write.get(), input);  // a program need not read what it is given
  in_write.reset();
  KILN_ASSIGN_OR_RETURN(std::string output, host::read_to_end(out_read.get(), 8 << 20));
  return Ran{child.wait(), std::move(output)};
}

}  // namespace kiln::client
