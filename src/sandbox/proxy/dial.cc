#include "sandbox/proxy/dial.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "host/netlink.h"

namespace kiln::sandbox::proxy {
namespace {

constexpr int kConnectMs = 30000;

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Status unreachable(const std::string& host, std::uint16_t port, std::string_view why) {
  return peer_error(Code::kUnavailable, fmt::format("dial tcp {}:{}: {}", host, port, why));
}

Result<Addresses> look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) return unreachable(host, port, ::gai_strerror(error));
  return Addresses(list);
}

// A socket belongs to the namespace in which it was made, whoever connects it.
Result<host::Fd> make_socket(int family, int network_namespace) {
  host::Fd made;
  auto make = [&]() -> Status {
    made = host::Fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return made.valid() ? ok() : errno_error(errno, "make a socket");
  };
  KILN_RETURN_IF_ERROR(network_namespace < 0 ? make() : host::in_network_namespace(network_namespace, make));
  const int on = 1;
  (void)::setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return made;
}

// 0, or the errno of the attempt; ECANCELED when stopped.
int connect_to(int socket, const addrinfo& address, const host::Wake& stopped) {
  if (::connect(socket, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waits[] = {{socket, POLLOUT, 0}, {stopped.fd(), POLLIN, 0}};
  int ready = 0;
  do {
    ready = ::poll(waits, 2, kConnectMs);
  } while (ready < 0 && errno == EINTR);
  if (waits[1].revents != 0) return ECANCELED;
  if (ready <= 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  (void)::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace

Result<host::Fd> dial(const std::string& host, std::uint16_t port, int network_namespace, const host::Wake& stopped) {
  KILN_ASSIGN_OR_RETURN(const Addresses addresses, look_up(host, port));
  int error = EHOSTUNREACH;
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    Result<host::Fd> socket = make_socket(one->ai_family, network_namespace);
    if (!socket.ok()) continue;  // a machine without this family
    error = connect_to(socket->get(), *one, stopped);
    if (error == 0) return socket;
    if (error == ECANCELED) return cancelled();
  }
  return unreachable(host, port, std::strerror(error));
}

}  // namespace kiln::sandbox::proxy
