#include "source/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/text.h"
#include "host/fd.h"

namespace kiln::source {
namespace {

constexpr std::size_t kOutputMax = 64 << 20;
constexpr int kPollMs = 50;
constexpr int kTermPatienceMs = 10'000;

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Only calls that are safe between vfork and exec.
[[noreturn]] void become(const char* program, char* const* argv, char* const* envp, const char* directory,
                         const char* input, int out, int err) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::umask(0022);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int in = ::open(input, O_RDONLY);
  if (in < 0) ::_exit(126);
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  if (::chdir(directory) != 0) ::_exit(126);
  ::execve(program, argv, envp);
  ::_exit(127);
}

struct Pipe {
  host::Fd read;
  host::Fd write;
  static Result<Pipe> make() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "pipe");
    return Pipe{host::Fd(ends[0]), host::Fd(ends[1])};
  }
};

// Ends the whole group: politely, then not.
void end_group(pid_t group) {
  ::kill(-group, SIGTERM);
  for (int waited = 0; waited < kTermPatienceMs; waited += kPollMs) {
    if (::waitpid(group, nullptr, WNOHANG) != 0) {
      ::kill(-group, SIGKILL);
      return;
    }
    ::usleep(kPollMs * 1000);
  }
  ::kill(-group, SIGKILL);
  ::waitpid(group, nullptr, 0);
}

// Reads both streams until both end; gives Cancelled on a stop.
Status collect(Pipe& out, Pipe& err, const std::stop_token& stop,
               const std::function<void(bool is_err, std::string_view)>& take) {
  std::string buffer(64 * 1024, '\0');
  pollfd waits[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
  while (waits[0].fd >= 0 || waits[1].fd >= 0) {
    if (stop.stop_requested()) return cancelled();
    if (::poll(waits, 2, kPollMs) < 0 && errno != EINTR) return errno_error(errno, "poll a program's output");
    for (int i = 0; i < 2; ++i) {
      if (waits[i].fd < 0 || waits[i].revents == 0) continue;
      KILN_ASSIGN_OR_RETURN(std::size_t got, host::read_some(waits[i].fd, std::span(buffer.data(), buffer.size())));
      if (got == 0) {
        waits[i].fd = -1;
      } else {
        take(i == 1, std::string_view(buffer.data(), got));
      }
    }
  }
  return ok();
}

}  // namespace

Result<std::string> find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (std::string_view folder : split(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    std::string candidate = fmt::format("{}/{}", folder, name);
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return environment_error(Code::kFailedPrecondition,
                           fmt::format("no {} program in PATH; install {} on the machine that builds", name, name));
}

Result<Outcome> run_program(const Program& program, std::stop_token stop,
                            const std::function<void(bool is_err, std::string_view)>& on_output) {
  std::vector<std::string> args = program.args, env = program.env;
  std::vector<char*> argv = pointers(args);
  std::vector<char*> envp = pointers(env);
  KILN_ASSIGN_OR_RETURN(Pipe out, Pipe::make());
  KILN_ASSIGN_OR_RETURN(Pipe err, Pipe::make());

  pid_t child = ::vfork();
  if (child == 0)
    become(program.path.c_str(), argv.data(), envp.data(), program.directory.c_str(), program.input.c_str(),
           out.write.get(), err.write.get());
  if (child < 0) return errno_error(errno, fmt::format("start '{}'", program.path));
  out.write.reset();
  err.write.reset();

  Outcome outcome;
  Status status = collect(out, err, stop, [&](bool is_err, std::string_view bytes) {
    std::string& text = is_err ? outcome.err : outcome.out;
    if (text.size() < kOutputMax) text.append(bytes);
    if (on_output) on_output(is_err, bytes);
  });
  if (!status.ok()) {
    end_group(child);
    return status;
  }
  int state = 0;
  while (::waitpid(child, &state, 0) < 0 && errno == EINTR) {
  }
  outcome.exit_code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  return outcome;
}

}  // namespace kiln::source
