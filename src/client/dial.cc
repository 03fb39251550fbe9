#include "client/internal/dial.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/text.h"
#include "http2/socket_carrier.h"

namespace kiln::client {
namespace {

Status unavailable(std::string_view why) { return environment_error(Code::kUnavailable, why); }

Result<host::Fd> connect_socket(int family, const sockaddr* address, socklen_t size, const Patience& patience) {
  host::Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno_error(errno, "make a socket");
  if (::connect(fd.get(), address, size) == 0) return fd;
  if (errno != EINPROGRESS && errno != EAGAIN) return errno_error(errno, "connect");
  KILN_RETURN_IF_ERROR(await_socket(fd.get(), POLLOUT, patience));
  int error = 0;
  socklen_t error_size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_size);
  if (error != 0) return errno_error(error, "connect");
  return fd;
}

Result<host::Fd> connect_unix(const std::string& path, const Patience& patience) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return user_error(Code::kInvalidArgument, "the socket's path is too long");
  path.copy(name.sun_path, path.size());
  auto fd = connect_socket(AF_UNIX, reinterpret_cast<sockaddr*>(&name), sizeof name, patience);
  if (fd.ok() || !errno_of(fd.status())) return fd;
  return unavailable(message_of(errno_error(*errno_of(fd.status()), fmt::format("connect to '{}'", path))));
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// What a name stands for. The system's resolver cannot be told to stop, so it runs on a thread that is left to
// itself when nobody waits any more.
struct Lookup {
  std::string host, port;
  std::mutex mutex;
  std::condition_variable_any answered;
  std::optional<int> error;
  Addresses found{nullptr, ::freeaddrinfo};

  int ask(int flags, Addresses& into) const {
    addrinfo hints{}, *list = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    const int code = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
    into.reset(code == 0 ? list : nullptr);
    return code;
  }
};

Result<Addresses> addresses_of(const std::string& host, const std::string& port, const Patience& patience) {
  auto lookup = std::make_shared<Lookup>();
  lookup->host = host.empty() ? "localhost" : host;
  lookup->port = port;
  if (lookup->ask(AI_NUMERICHOST, lookup->found) == 0) return std::move(lookup->found);
  std::thread([lookup] {
    Addresses found{nullptr, ::freeaddrinfo};
    const int error = lookup->ask(0, found);
    std::lock_guard lock(lookup->mutex);
    lookup->found = std::move(found);
    lookup->error = error;
    lookup->answered.notify_all();
  }).detach();
  std::unique_lock lock(lookup->mutex);
  const auto answered = [&] { return lookup->error.has_value(); };
  const bool in_time = patience.until == http2::kForever
                           ? lookup->answered.wait(lock, patience.stop, answered)
                           : lookup->answered.wait_until(lock, patience.stop, patience.until, answered);
  if (patience.stop.stop_requested()) return cancelled();
  if (!in_time) return unavailable(fmt::format("no address of '{}' in time", host));
  if (*lookup->error != 0) {
    return unavailable(fmt::format("no address of '{}': {}", host, ::gai_strerror(*lookup->error)));
  }
  return std::move(lookup->found);
}

// "host:port", "[::1]:port"; a port alone is this machine's.
Result<host::Fd> connect_tcp(std::string_view place, const Patience& patience) {
  const std::size_t colon = place.rfind(':');
  if (colon == std::string_view::npos || place.ends_with(']')) {
    return user_error(Code::kInvalidArgument, fmt::format("'{}' names no port", place));
  }
  std::string host(place.substr(0, colon)), port(place.substr(colon + 1));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  KILN_ASSIGN_OR_RETURN(const Addresses found, addresses_of(host, port, patience));
  Status last = unavailable("no address");
  for (const addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
    auto fd = connect_socket(one->ai_family, one->ai_addr, one->ai_addrlen, patience);
    if (fd.ok()) {
      const int on = 1;
      ::setsockopt(fd->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(fd->get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      return fd;
    }
    last = unavailable(fmt::format("connect to '{}': {}", place, message_of(fd.status())));
    if (patience.stop.stop_requested()) return cancelled();
  }
  return last;
}

Status start(Dialled& dialled, host::Fd socket) {
  dialled.wire = http2::Connection::client();
  return http2::SocketCarrier::start(std::make_shared<host::Poller>(), std::move(socket), dialled.wire);
}

}  // namespace

Status await_socket(int socket, short events, const Patience& patience) {
  while (true) {
    if (patience.stop.stop_requested()) return cancelled();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        std::min<http2::Ticks::duration>(patience.until - http2::Ticks::now(), std::chrono::milliseconds(100)));
    if (patience.until != http2::kForever && left.count() <= 0) return unavailable("no answer in time");
    pollfd one{socket, events, 0};
    const int ready = ::poll(&one, 1, patience.until == http2::kForever ? 100 : static_cast<int>(left.count()));
    if (ready > 0) return ok();
    if (ready < 0 && errno != EINTR) return errno_error(errno, "poll");
  }
}

Result<Dialled> dial(const Address& address, const ConnectOptions& options, const Patience& patience) {
  Result<host::Fd> socket = address.scheme == "unix" ? connect_unix(address.host + address.path, patience)
                                                     : connect_tcp(address.host, patience);
  KILN_RETURN_IF_ERROR(socket.status());
  Dialled dialled;
  const bool secure = !options.tls_ca.empty() || !options.tls_cert.empty() || !options.tls_key.empty();
  if (secure) {
    KILN_ASSIGN_OR_RETURN(dialled.tls, TlsPipe::open(*std::move(socket), address.host, options, patience));
    socket = dialled.tls->take_inner();
  }
  KILN_RETURN_IF_ERROR(start(dialled, *std::move(socket)));
  const auto step = std::chrono::milliseconds(100);
  while (!dialled.wire->wait_greeted(std::min(patience.until, http2::Ticks::now() + step))) {
    if (patience.stop.stop_requested()) return cancelled();
    if (dialled.wire->ended())
      return unavailable(secure ? "no connection: refused, or TLS that does not fit" : "no answer");
    if (http2::Ticks::now() >= patience.until) return unavailable("no answer in time");
  }
  return dialled;
}

Result<Dialled> dial_program(const std::vector<std::string>& command) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return errno_error(errno, "socketpair");
  host::Fd ours(pair[0]), theirs(pair[1]);
  Dialled dialled;
  KILN_ASSIGN_OR_RETURN(dialled.program, Child::start(command, {.in = theirs.get(), .out = theirs.get()}));
  if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return errno_error(errno, "fcntl");
  KILN_RETURN_IF_ERROR(start(dialled, std::move(ours)));
  return dialled;
}

}  // namespace kiln::client
