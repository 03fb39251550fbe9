#include "host/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/text.h"
#include "host/fd.h"
#include "host/wake.h"

extern char** environ;

namespace kiln::host {
namespace {

constexpr std::size_t kOutputMax = 4u << 20;

struct Pipe {
  Fd read, write;
  static Result<Pipe> make() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "make a pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
  }
};

std::vector<std::string> environment_with(const std::vector<std::string>& added) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view name = split_once(*entry, '=').first;
    bool replaced = false;
    for (const std::string& one : added) replaced |= split_once(one, '=').first == name;
    if (!replaced) out.emplace_back(*entry);
  }
  out.insert(out.end(), added.begin(), added.end());
  return out;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

Result<pid_t> spawn(const Command& command, const Pipe& in, const Pipe& out, const Pipe& errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.read.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.write.get(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, pipe;
  sigemptyset(&none);
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);  // we ignore it, others expect it
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &pipe);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const std::vector<std::string> environment = environment_with(command.env);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, command.args[0].c_str(), &actions, &attributes, pointers(command.args).data(),
                                 pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return errno_error(error, fmt::format("start '{}'", command.args[0]));
  return pid;
}

// One turn of a stream; closes it at its end.
void take(Fd& from, std::string& to) {
  char buffer[16384];
  const ssize_t size = ::read(from.get(), buffer, sizeof buffer);
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (size <= 0) return from.reset();
  to.append(buffer, std::min(static_cast<std::size_t>(size), kOutputMax - std::min(to.size(), kOutputMax)));
}

void feed(Fd& to, std::string_view& left) {
  const ssize_t size = ::write(to.get(), left.data(), left.size());
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (size < 0) return to.reset();  // it need not read what it is given
  left.remove_prefix(static_cast<std::size_t>(size));
  if (left.empty()) to.reset();
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A program that does not read what it is given must not be our end.
void survive_broken_pipes() {
  static const bool done = [] {
    struct sigaction now {};
    if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) (void)::signal(SIGPIPE, SIG_IGN);
    return true;
  }();
  (void)done;
}

}  // namespace

Result<CommandResult> run_command(const Command& command, std::stop_token stop) {
  survive_broken_pipes();
  KILN_ASSIGN_OR_RETURN(Pipe in, Pipe::make());
  KILN_ASSIGN_OR_RETURN(Pipe out, Pipe::make());
  KILN_ASSIGN_OR_RETURN(Pipe errors, Pipe::make());
  KILN_ASSIGN_OR_RETURN(const pid_t pid, spawn(command, in, out, errors));
  for (Fd* end : {&in.read, &out.write, &errors.write}) end->reset();
  for (int fd : {in.write.get(), out.read.get(), errors.read.get()}) (void)::fcntl(fd, F_SETFL, O_NONBLOCK);
  const Fd ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const Wake stopped;
  const std::stop_callback ring(stop, [&] { stopped.ring(); });
  const auto deadline = std::chrono::steady_clock::now() + command.timeout;
  std::string_view left = command.input;
  if (left.empty()) in.write.reset();
  CommandResult result;
  Status failed = ok();
  // Its output may be held open by a child of its own: its end is what counts, with what was said until then.
  for (bool running = true; running && failed.ok();) {
    pollfd waits[] = {{in.write.valid() ? in.write.get() : -1, POLLOUT, 0},
                      {out.read.valid() ? out.read.get() : -1, POLLIN, 0},
                      {errors.read.valid() ? errors.read.get() : -1, POLLIN, 0},
                      {ended.get(), POLLIN, 0},
                      {stopped.fd(), POLLIN, 0}};
    const auto rest =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int ready = ::poll(waits, 5, static_cast<int>(std::max<long>(rest, 0)));
    if (ready == 0)
      failed = environment_error(Code::kDeadlineExceeded,
                                 fmt::format("'{}' did not end in {} ms", command.args[0], command.timeout.count()));
    if (ready <= 0) continue;
    if (waits[0].revents != 0) feed(in.write, left);
    if (waits[1].revents != 0) take(out.read, result.output);
    if (waits[2].revents != 0) take(errors.read, result.errors);
    if (waits[4].revents != 0) failed = cancelled();
    running = waits[3].revents == 0 || waits[1].revents != 0 || waits[2].revents != 0;
  }
  if (!failed.ok()) (void)::kill(pid, SIGKILL);
  result.code = reap(pid);
  KILN_RETURN_IF_ERROR(failed);
  return result;
}

std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return ::access(name.c_str(), X_OK) == 0 ? std::optional<std::string>(name) : std::nullopt;
  }
  const char* path = std::getenv("PATH");
  const std::string_view folders =
      path != nullptr ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (std::string_view folder : split(folders, ':')) {
    std::string candidate = fmt::format("{}/{}", folder, name);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

}  // namespace kiln::host
