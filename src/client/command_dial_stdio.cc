// dial-stdio: standard input and output as a connection to the daemon. Drivers that reach a daemon
// through `exec` or ssh live on it.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "client/internal/carry.h"
#include "client/internal/commands.h"
#include "host/fd.h"

namespace kiln::client {
namespace {

Result<host::Fd> dial(const std::string& address) {
  constexpr std::string_view kUnix = "unix://";
  if (!address.starts_with(kUnix)) {
    return user_error(Code::kInvalidArgument, fmt::format("invalid address {} (expected unix://)", address));
  }
  std::string path = address.substr(kUnix.size());
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path)
    return user_error(Code::kInvalidArgument, fmt::format("socket path '{}' is too long", path));
  path.copy(name.sun_path, path.size());
  host::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) {
    return errno_error(errno, fmt::format("dial unix {}: connect", path));
  }
  return fd;
}

bool is_gone(const Status& status) {
  const int error = errno_of(status).value_or(0);
  return error == EPIPE || error == ECONNRESET;
}

// Moves what is there; false when the source has ended, or one of the two is gone: either end may go
// first, and that is how connections end.
Result<bool> pass_on(int from, int to, std::span<char> buffer) {
  Result<std::size_t> count = host::read_some(from, buffer);
  if (!count.ok()) return is_gone(count.status()) ? Result<bool>(false) : count.status();
  if (*count == 0) return false;
  Status written = host::write_all(to, std::string_view(buffer.data(), *count));
  if (is_gone(written)) return false;
  KILN_RETURN_IF_ERROR(written);
  return true;
}

}  // namespace

Status carry(int in, int out, int daemon, std::stop_token stop) {
  std::vector<char> buffer(256 * 1024);
  pollfd ends[2] = {{in, POLLIN, 0}, {daemon, POLLIN, 0}};
  while (!stop.stop_requested()) {
    // A stop comes as a signal on another thread, so the wait is never for ever.
    int ready = poll(ends, 2, 200);
    if (ready < 0 && errno != EINTR) return errno_error(errno, "poll");
    if (ready <= 0) continue;
    if (ends[0].revents != 0) {
      KILN_ASSIGN_OR_RETURN(bool more, pass_on(in, daemon, buffer));
      if (!more) {
        shutdown(daemon, SHUT_WR);
        ends[0].fd = -1;
      }
    }
    if (ends[1].revents != 0) {
      KILN_ASSIGN_OR_RETURN(bool more, pass_on(daemon, out, buffer));
      // The daemon's end is the end, whether standard input is at its own or not.
      if (!more) return ok();
    }
  }
  return cancelled();
}

Status run_dial_stdio(const Invocation& call) {
  std::string address = call.line.text("addr");
  if (address.empty()) address = call.environment("BUILDKIT_HOST").value_or("");
  if (address.empty()) address = places(call.environment).default_address;
  KILN_ASSIGN_OR_RETURN(host::Fd daemon, dial(address));
  return carry(STDIN_FILENO, STDOUT_FILENO, daemon.get(), call.stop);
}

}  // namespace kiln::client
