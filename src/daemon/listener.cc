#include "daemon/listener.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "base/value.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

constexpr int kBacklog = 128;

Status make_parent(const std::string& path, SocketOwner owner) {
  const std::string parent = path.substr(0, path.rfind('/'));
  if (parent.empty() || host::exists(parent)) return ok();
  KILN_RETURN_IF_ERROR(host::make_dirs(parent, 0770));
  if (::chown(parent.c_str(), static_cast<uid_t>(owner.uid), static_cast<gid_t>(owner.gid)) != 0) {
    return errno_error(errno, fmt::format("give '{}' its owner", parent));
  }
  return ok();
}

Result<Listener> open_unix(const std::string& path, SocketOwner owner) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return user_error(Code::kInvalidArgument, fmt::format("'{}' cannot be the path of a unix socket (at most {} bytes)",
                                                          path, sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  KILN_RETURN_IF_ERROR(make_parent(path, owner));
  Listener listener;
  listener.fd = host::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.fd.valid()) return errno_error(errno, "make a socket");
  if (host::exists(path)) {
    if (somebody_answers(path)) {
      return environment_error(Code::kAlreadyExists, fmt::format("another daemon listens on '{}'", path));
    }
    ::unlink(path.c_str());
  }
  // Nobody may connect before the owner is set: listen() comes last.
  if (::bind(listener.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error(errno, fmt::format("listen on '{}'", path));
  }
  listener.path = path;
  if (::chmod(path.c_str(), 0660) != 0 ||
      ::chown(path.c_str(), static_cast<uid_t>(owner.uid), static_cast<gid_t>(owner.gid)) != 0) {
    return errno_error(errno, fmt::format("give '{}' its owner", path));
  }
  if (::listen(listener.fd.get(), kBacklog) != 0) return errno_error(errno, fmt::format("listen on '{}'", path));
  return listener;
}

Result<Listener> open_tcp(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos)
    return user_error(Code::kInvalidArgument, fmt::format("address '{}' has no port", text));
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const std::string port = text.substr(colon + 1);
  // A number that is too large would be cut to another port.
  if (port.find_first_not_of("0123456789") == std::string::npos && !parse_unsigned(port, 10, 65535)) {
    return user_error(Code::kInvalidArgument, fmt::format("address '{}': invalid port", text));
  }
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return user_error(Code::kInvalidArgument, fmt::format("address '{}': {}", text, ::gai_strerror(error)));
  }
  // All interfaces: one IPv6 socket serves both families, where there is IPv6.
  const addrinfo* chosen = found;
  for (const addrinfo* a = found; host.empty() && a != nullptr; a = a->ai_next) {
    if (a->ai_family == AF_INET6) chosen = a;
  }
  Listener listener;
  listener.is_local = false;
  int error = 0;
  for (const addrinfo* a = chosen; a != nullptr; a = a->ai_next) {
    listener.fd = host::Fd(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1, off = 0;
    if (listener.fd.valid()) {
      ::setsockopt(listener.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (a->ai_family == AF_INET6) ::setsockopt(listener.fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      if (::bind(listener.fd.get(), a->ai_addr, a->ai_addrlen) == 0 && ::listen(listener.fd.get(), kBacklog) == 0)
        break;
    }
    error = errno;
    listener.fd.reset();
  }
  ::freeaddrinfo(found);
  if (!listener.fd.valid()) return errno_error(error, fmt::format("listen on '{}'", text));
  return listener;
}

// sd_listen_fds(3): descriptors from 3 on, their number in LISTEN_FDS, names in LISTEN_FDNAMES.
Result<Listener> take_activated(const std::string& which) {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count_text = std::getenv("LISTEN_FDS");
  int count = 0;
  if (pid == nullptr || std::to_string(::getpid()) != pid || count_text == nullptr ||
      (count = std::atoi(count_text)) <= 0) {
    return environment_error(Code::kFailedPrecondition,
                             "no sockets found via socket activation: make sure the service was started by systemd");
  }
  constexpr int kFirst = 3;
  int index = which.empty() ? 0 : -1;
  int number = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
  if (!which.empty() && error == std::errc() && end == which.data() + which.size()) {
    index = number - kFirst;
  } else if (const char* names = std::getenv("LISTEN_FDNAMES"); names != nullptr && !which.empty()) {
    const auto all = split(names, ':');
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i] == which) index = static_cast<int>(i);
    }
  }
  if (index < 0 || index >= count) {
    return user_error(Code::kNotFound, fmt::format("no socket '{}' was handed over by the service manager", which));
  }
  Listener listener;
  listener.fd = host::Fd(kFirst + index);
  ::fcntl(listener.fd.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(listener.fd.get(), F_SETFL, ::fcntl(listener.fd.get(), F_GETFL) | O_NONBLOCK);
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (::getsockname(listener.fd.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0) {
    return errno_error(errno, "socket handed over by the service manager");
  }
  listener.is_local = name.ss_family == AF_UNIX;
  return listener;
}

}  // namespace

bool somebody_answers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  path.copy(address.sun_path, path.size());
  const host::Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe.valid() && ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Listener::~Listener() {
  if (fd.valid() && !path.empty()) ::unlink(path.c_str());
}

Result<Listener> open_listener(const std::string& address, SocketOwner owner) {
  const std::size_t at = address.find("://");
  if (at == std::string::npos) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("address {0} does not contain proto, you meant unix://{0} ?", address));
  }
  const std::string scheme = address.substr(0, at);
  const std::string rest = address.substr(at + 3);
  auto listener =
      scheme == "unix"  ? open_unix(rest, owner)
      : scheme == "tcp" ? open_tcp(rest)
      : scheme == "fd"
          ? take_activated(rest)
          : Result<Listener>(user_error(Code::kInvalidArgument, fmt::format("addr {} not supported", address)));
  if (listener.ok()) listener->address = address;
  return listener;
}

}  // namespace kiln::daemon
