#include "source/git_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/text.h"
#include "host/fd.h"
#include "registry/http.h"

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
[[noreturn]] void become(const char* program, char* const* argv, char* const* envp, const char* directory, int out, int err) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::umask(0022);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, 0);
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
Status collect(Pipe& out, Pipe& err, const std::stop_token& stop, const std::function<void(bool is_err, std::string_view)>& take) {
  std::string buffer(64 * 1024, '\0');
  pollfd waits[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
  while (waits[0].fd >= 0 || waits[1].fd >= 0) {
    if (stop.stop_requested()) return cancelled();
    if (::poll(waits, 2, kPollMs) < 0 && errno != EINTR) return errno_error(errno, "poll git's output");
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

// Without an argument that old servers do not understand; nothing when there is none.
std::optional<std::vector<std::string>> plainer(const std::vector<std::string>& args, const std::string& err) {
  std::vector<std::string> out = args;
  if (err.find("--depth") != std::string::npos || err.find("shallow") != std::string::npos) {
    if (std::erase(out, "--depth=1") > 0) return out;
  }
  bool refused = err.find("not our ref") != std::string::npos || err.find("unadvertised object") != std::string::npos;
  if (refused && args.size() > 2 && args.front() == "fetch" && is_commit_sha(args.back())) {
    out.pop_back();
    return out;
  }
  return std::nullopt;
}

// Every URL in a text, masked.
std::string redact_text(std::string text) {
  for (std::size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    std::size_t end = text.find_first_of(" \t\n'\"/", at + 3);
    std::size_t sign = text.rfind('@', end);
    if (sign == std::string::npos || sign < at) continue;
    text.replace(at + 3, sign - at - 3, "xxxxx");
  }
  return text;
}

}  // namespace

bool is_commit_sha(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string redact_url(std::string_view url) {
  Result<registry::Url> parsed = registry::parse_url(url);
  if (!parsed.ok() || parsed->user_info.empty()) return std::string(url);
  auto [user, password] = split_once(parsed->user_info, ':');
  bool has_password = parsed->user_info.find(':') != std::string::npos;
  parsed->user_info = std::string(user.empty() ? "" : "xxxxx") + (has_password ? ":xxxxx" : "");
  return parsed->str();
}

Result<GitCommand> GitCommand::find() {
  const char* path = std::getenv("PATH");
  for (std::string_view folder : split(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    std::string candidate = std::string(folder) + "/git";
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) {
      GitCommand out;
      out.program_ = candidate;
      return out;
    }
  }
  return environment_error(Code::kFailedPrecondition, "no git program in PATH; install git on the machine that builds");
}

std::vector<std::string> GitCommand::environment() const {
  std::vector<std::string> out;
  auto pass = [&](const char* name) {
    if (const char* value = std::getenv(name)) out.push_back(fmt::format("{}={}", name, value));
  };
  for (const char* name : {"PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}) {
    pass(name);
  }
  out.push_back("GIT_TERMINAL_PROMPT=0");
  out.push_back("GIT_SSH_COMMAND=ssh -F /dev/null " +
                (known_hosts.empty() ? std::string("-o StrictHostKeyChecking=no") : "-o UserKnownHostsFile=" + known_hosts));
  out.push_back("LC_ALL=C");
  out.push_back("GIT_CONFIG_NOSYSTEM=1");
  out.push_back("HOME=/dev/null");
  out.push_back("GIT_CONFIG_GLOBAL=/dev/null");
  if (!ssh_auth_sock.empty()) out.push_back("SSH_AUTH_SOCK=" + ssh_auth_sock);
  if (!config.empty()) {
    out.push_back(fmt::format("GIT_CONFIG_COUNT={}", config.size()));
    for (std::size_t i = 0; i < config.size(); ++i) {
      out.push_back(fmt::format("GIT_CONFIG_KEY_{}={}", i, config[i].first));
      out.push_back(fmt::format("GIT_CONFIG_VALUE_{}={}", i, config[i].second));
    }
  }
  return out;
}

Result<GitCommand::Outcome> GitCommand::run_once(const std::vector<std::string>& args, const Asker& asker, Logged logged) const {
  // Repositories must not name directories of this machine as their submodules.
  std::vector<std::string> all = {"git", "-c", "protocol.file.allow=user"};
  if (!work_tree.empty()) all.insert(all.end(), {"--work-tree", work_tree});
  if (!git_dir.empty()) all.insert(all.end(), {"--git-dir", git_dir});
  all.insert(all.end(), args.begin(), args.end());
  std::vector<std::string> env = environment();
  std::vector<char*> argv = pointers(all);
  std::vector<char*> envp = pointers(env);
  const std::string directory = work_tree.empty() ? "/" : work_tree;
  KILN_ASSIGN_OR_RETURN(Pipe out, Pipe::make());
  KILN_ASSIGN_OR_RETURN(Pipe err, Pipe::make());

  pid_t child = ::vfork();
  if (child == 0) become(program_.c_str(), argv.data(), envp.data(), directory.c_str(), out.write.get(), err.write.get());
  if (child < 0) return errno_error(errno, "start git");
  out.write.reset();
  err.write.reset();

  Outcome outcome;
  Status status = collect(out, err, asker.stop, [&](bool is_err, std::string_view bytes) {
    std::string& text = is_err ? outcome.err : outcome.out;
    if (text.size() < kOutputMax) text.append(bytes);
    if (logged == Logged::kYes) {
      asker.reporter.log(is_err ? event::LogStream::kStderr : event::LogStream::kStdout, redact_text(std::string(bytes)));
    }
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

Result<std::string> GitCommand::run(std::vector<std::string> args, const Asker& asker, Logged logged) const {
  while (true) {
    KILN_ASSIGN_OR_RETURN(Outcome outcome, run_once(args, asker, logged));
    if (outcome.exit_code == 0) return outcome.out;
    if (auto other = plainer(args, outcome.err)) {
      args = *std::move(other);
      continue;
    }
    return user_error(Code::kFailedPrecondition,
                      fmt::format("git stderr:\n{}: exit status {}", redact_text(std::string(trim(outcome.err))), outcome.exit_code));
  }
}

}  // namespace kiln::source
