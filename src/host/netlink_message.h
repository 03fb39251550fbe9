// One netlink request under construction, with nested attributes, and the exchange of such requests
// with the kernel. Shared by links (netlink.h) and packet filters (nat.h).
//
//   NetlinkMessage m(RTM_NEWLINK, NLM_F_CREATE, ifinfomsg{});
//   m.text(IFLA_IFNAME, "eth0"); auto info = m.open(IFLA_LINKINFO); … m.close(info);
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::host {

// One thread at a time.
class NetlinkMessage {
 public:
  template <typename Header>
  NetlinkMessage(std::uint16_t type, std::uint16_t flags, const Header& header) {
    nlmsghdr head{};
    head.nlmsg_type = type;
    head.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    append(&head, sizeof head);
    append(&header, sizeof header);
  }

  void bytes(std::uint16_t type, const void* data, std::size_t size) {
    nlattr attribute{static_cast<std::uint16_t>(sizeof(nlattr) + size), type};
    append(&attribute, sizeof attribute);
    append(data, size);
  }
  template <typename Number>
  void number(std::uint16_t type, Number value) {
    bytes(type, &value, sizeof value);
  }
  void text(std::uint16_t type, std::string_view value) { bytes(type, std::string(value).c_str(), value.size() + 1); }

  // A nested attribute lasts until close.
  std::size_t open(std::uint16_t type) {
    const std::size_t at = buffer_.size();
    bytes(type, nullptr, 0);
    return at;
  }
  // Fixed fields inside a nested attribute (the peer of a veth).
  template <typename Header>
  void raw(const Header& header) {
    append(&header, sizeof header);
  }
  void close(std::size_t at) {
    const auto length = static_cast<std::uint16_t>(buffer_.size() - at);
    std::memcpy(buffer_.data() + at, &length, sizeof length);
  }
  // Complete, with its length and number set.
  const std::string& finish(std::uint32_t sequence) {
    nlmsghdr head;
    std::memcpy(&head, buffer_.data(), sizeof head);
    head.nlmsg_len = static_cast<std::uint32_t>(buffer_.size());
    head.nlmsg_seq = sequence;
    std::memcpy(buffer_.data(), &head, sizeof head);
    return buffer_;
  }

 private:
  void append(const void* data, std::size_t size) {
    if (size != 0) buffer_.append(static_cast<const char*>(data), size);
    buffer_.resize((buffer_.size() + 3) & ~std::size_t{3}, '\0');
  }
  std::string buffer_;
};

// Socket of the given family (NETLINK_ROUTE, NETLINK_NETFILTER) in the thread's network namespace;
// it stays bound to that namespace.
Result<Fd> open_netlink(int family);
// Sends what finish() gave (several joined are one batch) and waits for the kernel's word on message
// `sequence`. Errors carry the kernel's errno and `what`.
Status exchange_netlink(int socket, std::string_view messages, std::uint32_t sequence, std::string_view what);

}  // namespace kiln::host
