// Network interfaces, addresses and routes of one network namespace (rtnetlink(7)).
//
//   KILN_ASSIGN_OR_RETURN(Links links, Links::open());
//   KILN_RETURN_IF_ERROR(links.add_bridge("buildkit0", 1400));
//   KILN_RETURN_IF_ERROR(links.add_veth("veth1", {.master = "buildkit0", .peer = "eth0", .peer_namespace = ns}));
//
// IPv4 only. Each call is one exchange with the kernel; nothing blocks for long.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::host {

// Network byte order is hidden: 10.10.0.1 is 0x0A0A0001.
using Ipv4 = std::uint32_t;
std::optional<Ipv4> parse_ipv4(const std::string& text);
std::string format_ipv4(Ipv4 address);
struct Subnet {
  Ipv4 base = 0;
  int prefix = 0;
};
// "10.10.0.0/16"; host bits are cleared.
std::optional<Subnet> parse_subnet(const std::string& text);

struct VethOptions {
  std::string master;       // bridge that the near end joins
  std::string peer;         // name of the far end
  int peer_namespace = -1;  // where the far end is born
  unsigned mtu = 0;
};

// One thread at a time. Bound to the namespace in which it was opened.
class Links {
 public:
  static Result<Links> open();

  // Interface index; nullopt when there is no such interface.
  std::optional<int> find(const std::string& name) const;
  // With a hardware address that stays whoever is plugged in.
  Status add_bridge(const std::string& name, unsigned mtu);
  Status add_veth(const std::string& name, const VethOptions& options);
  Status remove(const std::string& name);
  Status up(const std::string& name);
  // Fine when the interface has it already.
  Status add_address(const std::string& name, Ipv4 address, int prefix);
  Status add_default_route(Ipv4 gateway);

 private:
  explicit Links(Fd socket) : socket_(std::move(socket)) {}
  Status send(class NetlinkMessage& message, std::string_view what);
  Result<int> need(const std::string& name) const;

  Fd socket_;
  std::uint32_t sequence_ = 0;
};

// MTU of the interface that the default route of this process's namespace leaves by; 1500 without one.
unsigned uplink_mtu();

// A network namespace without any process in it; `loopback` is up. Made by a short-lived thread.
Result<Fd> make_network_namespace();
// Runs `body` on a thread that has entered the namespace.
Status in_network_namespace(int ns, const std::function<Status()>& body);

}  // namespace kiln::host
