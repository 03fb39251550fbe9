#include "host/netlink.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <thread>

#include "base/id.h"
#include "base/text.h"
#include "host/netlink_message.h"

namespace kiln::host {

Result<Fd> open_netlink(int family) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family));
  if (!socket.valid()) return errno_error(errno, "open a netlink socket");
  const timeval patience{5, 0};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return socket;
}

Status exchange_netlink(int socket, std::string_view messages, std::uint32_t sequence, std::string_view what) {
  if (::send(socket, messages.data(), messages.size(), 0) < 0) return errno_error(errno, what);
  alignas(nlmsghdr) char answer[8192];
  for (;;) {
    ssize_t left = ::recv(socket, answer, sizeof answer, 0);
    if (left < 0 && errno == EINTR) continue;
    if (left < 0) return errno_error(errno, what);
    for (auto* head = reinterpret_cast<nlmsghdr*>(answer); NLMSG_OK(head, static_cast<unsigned>(left));
         head = NLMSG_NEXT(head, left)) {
      if (head->nlmsg_type != NLMSG_ERROR) continue;
      const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(head));
      // In a batch a failing message answers before the last one would.
      if (error->error != 0) return errno_error(-error->error, what);
      if (head->nlmsg_seq == sequence) return ok();
    }
  }
}

std::optional<Ipv4> parse_ipv4(const std::string& text) {
  in_addr address;
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string format_ipv4(Ipv4 address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

std::optional<Subnet> parse_subnet(const std::string& text) {
  const auto [address, prefix] = split_once(text, '/');
  const std::optional<Ipv4> base = parse_ipv4(std::string(address));
  int bits = -1;
  auto [end, error] = std::from_chars(prefix.data(), prefix.data() + prefix.size(), bits);
  if (!base || error != std::errc() || end != prefix.data() + prefix.size() || bits < 1 || bits > 30)
    return std::nullopt;
  return Subnet{*base & ~((1u << (32 - bits)) - 1), bits};
}

Result<Links> Links::open() {
  KILN_ASSIGN_OR_RETURN(Fd socket, open_netlink(NETLINK_ROUTE));
  return Links(std::move(socket));
}

Status Links::send(NetlinkMessage& message, std::string_view what) {
  ++sequence_;
  return exchange_netlink(socket_.get(), message.finish(sequence_), sequence_, what);
}

std::optional<int> Links::find(const std::string& name) const {
  // An ioctl on the netlink socket itself: it knows the namespace.
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(socket_.get(), SIOCGIFINDEX, &request) != 0) return std::nullopt;
  return request.ifr_ifindex;
}

Result<int> Links::need(const std::string& name) const {
  const std::optional<int> index = find(name);
  if (!index) return make_error(Fault::kEnvironment, Code::kNotFound, fmt::format("no network interface '{}'", name));
  return *index;
}

namespace {

// Of one interface, and of no maker's (IEEE 802, section 8.2).
std::string new_hardware_address() {
  std::string out = random_bytes(6);
  out[0] = static_cast<char>((out[0] & 0xfc) | 0x02);
  return out;
}

}  // namespace

Status Links::add_bridge(const std::string& name, unsigned mtu) {
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, ifinfomsg{});
  message.text(IFLA_IFNAME, name);
  message.number<std::uint32_t>(IFLA_MTU, mtu);
  // Without one of its own a bridge takes the lowest of those that are plugged in, another as they come and go.
  const std::string address = new_hardware_address();
  message.bytes(IFLA_ADDRESS, address.data(), address.size());
  const std::size_t info = message.open(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "bridge");
  message.close(info);
  return send(message, fmt::format("make bridge '{}'", name));
}

Status Links::add_veth(const std::string& name, const VethOptions& options) {
  ifinfomsg near{};
  near.ifi_flags = near.ifi_change = IFF_UP;
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, near);
  message.text(IFLA_IFNAME, name);
  if (options.mtu != 0) message.number<std::uint32_t>(IFLA_MTU, options.mtu);
  if (!options.master.empty()) {
    KILN_ASSIGN_OR_RETURN(const int master, need(options.master));
    message.number<std::uint32_t>(IFLA_MASTER, static_cast<std::uint32_t>(master));
  }
  const std::size_t info = message.open(IFLA_LINKINFO);
  message.text(IFLA_INFO_KIND, "veth");
  const std::size_t data = message.open(IFLA_INFO_DATA);
  const std::size_t peer = message.open(VETH_INFO_PEER);
  message.raw(ifinfomsg{});  // not yet up: it has no other end while it is made
  message.text(IFLA_IFNAME, options.peer);
  if (options.mtu != 0) message.number<std::uint32_t>(IFLA_MTU, options.mtu);
  if (options.peer_namespace >= 0)
    message.number<std::uint32_t>(IFLA_NET_NS_FD, static_cast<std::uint32_t>(options.peer_namespace));
  message.close(peer);
  message.close(data);
  message.close(info);
  return send(message, fmt::format("make the network pair '{}'", name));
}

Status Links::remove(const std::string& name) {
  KILN_ASSIGN_OR_RETURN(const int index, need(name));
  ifinfomsg link{};
  link.ifi_index = index;
  NetlinkMessage message(RTM_DELLINK, NLM_F_ACK, link);
  return send(message, fmt::format("remove network interface '{}'", name));
}

Status Links::up(const std::string& name) {
  KILN_ASSIGN_OR_RETURN(const int index, need(name));
  ifinfomsg link{};
  link.ifi_index = index;
  link.ifi_flags = link.ifi_change = IFF_UP;
  NetlinkMessage message(RTM_NEWLINK, NLM_F_ACK, link);
  return send(message, fmt::format("raise network interface '{}'", name));
}

Status Links::add_address(const std::string& name, Ipv4 address, int prefix) {
  KILN_ASSIGN_OR_RETURN(const int index, need(name));
  ifaddrmsg head{};
  head.ifa_family = AF_INET;
  head.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  head.ifa_index = static_cast<unsigned>(index);
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, head);
  message.number<std::uint32_t>(IFA_LOCAL, htonl(address));
  message.number<std::uint32_t>(IFA_ADDRESS, htonl(address));
  message.number<std::uint32_t>(IFA_BROADCAST, htonl(address | ((1u << (32 - prefix)) - 1)));
  Status status = send(message, fmt::format("give '{}' the address {}", name, format_ipv4(address)));
  return errno_of(status) == EEXIST ? ok() : status;
}

Status Links::add_default_route(Ipv4 gateway) {
  rtmsg route{};
  route.rtm_family = AF_INET;
  route.rtm_table = RT_TABLE_MAIN;
  route.rtm_protocol = RTPROT_BOOT;
  route.rtm_scope = RT_SCOPE_UNIVERSE;
  route.rtm_type = RTN_UNICAST;
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_ACK, route);
  message.number<std::uint32_t>(RTA_GATEWAY, htonl(gateway));
  return send(message, "set the default route");
}

unsigned uplink_mtu() {
  Result<std::string> routes = read_file("/proc/net/route", 1 << 20);
  if (!routes.ok()) return 1500;
  for (std::string_view line : split(*routes, '\n')) {
    std::vector<std::string_view> fields = words(line);
    if (fields.size() < 8 || fields[1] != "00000000" || fields[7] != "00000000") continue;
    Result<std::string> mtu = read_file(fmt::format("/sys/class/net/{}/mtu", fields[0]), 64);
    unsigned value = 0;
    if (mtu.ok()) std::from_chars(mtu->data(), mtu->data() + mtu->size(), value);
    if (value >= 576) return value;
  }
  return 1500;
}

Result<Fd> make_network_namespace() {
  Result<Fd> made = engine_error("no namespace");
  std::jthread([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      made = errno_error(errno, "make a network namespace");
      return;
    }
    made = open_file("/proc/thread-self/ns/net", O_RDONLY);
    if (!made.ok()) return;
    Result<Links> links = Links::open();
    if (links.ok()) (void)links->up("lo");
  }).join();
  return made;
}

Status in_network_namespace(int ns, const std::function<Status()>& body) {
  Status status = ok();
  std::jthread([&] {
    status = ::setns(ns, CLONE_NEWNET) != 0 ? errno_error(errno, "enter a network namespace") : body();
  }).join();
  return status;
}

}  // namespace kiln::host
