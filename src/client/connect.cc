// Which daemon a command talks to, and the one kiln starts when there is none.
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/text.h"
#include "client/internal/child.h"
#include "client/internal/commands.h"
#include "host/fs.h"

namespace kiln::client {
namespace {

constexpr std::string_view kIdleTime = "10m";

Result<ConnectOptions> options_of(const Invocation& call) {
  const CommandLine& line = call.line;
  ConnectOptions options;
  options.tls_server_name = line.text("tlsservername");
  options.tls_ca = line.text("tlscacert");
  options.tls_cert = line.text("tlscert");
  options.tls_key = line.text("tlskey");
  options.timeout = std::chrono::seconds(line.integer("timeout"));
  options.wait = line.on("wait") ? Wait::kYes : Wait::kNo;
  if (std::string dir = line.text("tlsdir"); !dir.empty()) {
    if (!options.tls_ca.empty() || !options.tls_cert.empty() || !options.tls_key.empty()) {
      return user_error(Code::kInvalidArgument, "cannot specify tlsdir and tlscacert/tlscert/tlskey at the same time");
    }
    KILN_RETURN_IF_ERROR(read_tls_dir(dir, options));
  }
  return options;
}

// The address somebody named; empty when nobody did.
std::string named_address(const Invocation& call) {
  if (std::string address = call.line.text("addr"); !address.empty()) return address;
  for (const char* name : {"KILN_HOST", "BUILDKIT_HOST"}) {
    if (std::string address = call.environment(name).value_or(""); !address.empty()) return address;
  }
  return "";
}

bool answers(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return false;
  path.copy(name.sun_path, path.size());
  host::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.valid() && connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
}

// kilnd beside this program, else by PATH.
std::string daemon_program() {
  char self[4096];
  ssize_t size = readlink("/proc/self/exe", self, sizeof self);
  if (size > 0) {
    std::string_view path(self, static_cast<std::size_t>(size));
    std::string beside = std::string(path.substr(0, path.rfind('/') + 1)) + "kilnd";
    if (access(beside.c_str(), X_OK) == 0) return beside;
  }
  return "kilnd";
}

}  // namespace

Places places(const EnvironmentLookup& environment) {
  if (geteuid() == 0) {
    return {"unix:///run/buildkit/buildkitd.sock", "/run/kiln/kilnd.sock", "/var/lib/kiln", "/run/kiln/kilnd.log"};
  }
  auto or_else = [&](const char* name, std::string fallback) {
    std::string value = environment(name).value_or("");
    return value.empty() ? fallback : value;
  };
  std::string run = or_else("XDG_RUNTIME_DIR", fmt::format("/run/user/{}", geteuid()));
  std::string data = or_else("XDG_DATA_HOME", environment("HOME").value_or("") + "/.local/share");
  return {"unix://" + run + "/buildkit/buildkitd.sock", run + "/kiln/kilnd.sock", data + "/kiln",
          run + "/kiln/kilnd.log"};
}

Status start_own_daemon(const Places& places, std::stop_token stop) {
  std::string dir = places.own_socket.substr(0, places.own_socket.rfind('/'));
  KILN_RETURN_IF_ERROR(host::make_dirs(dir, 0700));
  // Two clients at once start one daemon.
  KILN_ASSIGN_OR_RETURN(host::Fd lock, host::open_file(dir + "/start.lock", O_RDWR | O_CREAT, 0600));
  if (flock(lock.get(), LOCK_EX) != 0) return errno_error(errno, "lock the start of a daemon");
  if (answers(places.own_socket)) return ok();
  KILN_ASSIGN_OR_RETURN(host::Fd log, host::open_file(places.own_log, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  // setsid takes it out of this terminal, so that an interrupt here is none there.
  std::vector<std::string> argv = {
      "setsid",      daemon_program(),      "--root", places.own_root, "--addr", "unix://" + places.own_socket,
      "--idle-exit", std::string(kIdleTime)};
  KILN_ASSIGN_OR_RETURN(Child child, Child::start(argv, {.in = -1, .out = log.get(), .error = log.get()}));
  pid_t pid = child.pid();
  child.detach();
  for (int waited_ms = 0; waited_ms < 10'000; waited_ms += 5) {
    if (answers(places.own_socket)) return ok();
    if (stop.stop_requested()) return cancelled();
    if (waitpid(pid, nullptr, WNOHANG) == pid) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::string said = host::read_file(places.own_log, 1 << 20).value_or("");
  std::vector<std::string_view> lines = split(trim(said), '\n');
  return environment_error(Code::kUnavailable,
                           fmt::format("no daemon is running and kilnd could not be started: {}; its log is '{}'",
                                       lines.back().empty() ? "it did not answer" : lines.back(), places.own_log));
}

Result<std::unique_ptr<Connection>> connect(const Invocation& call) {
  KILN_ASSIGN_OR_RETURN(ConnectOptions options, options_of(call));
  options.address = named_address(call);
  if (options.address.empty()) {
    Places here = places(call.environment);
    options.address = here.default_address;
    bool own =
        call.program.starts_with("kiln") && !answers(here.default_address.substr(std::string_view("unix://").size()));
    if (own) {
      KILN_RETURN_IF_ERROR(start_own_daemon(here, call.stop));
      options.address = "unix://" + here.own_socket;
    }
  }
  return Connection::open(options, call.stop);
}

}  // namespace kiln::client
