#include "host/nat.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>

#include <cerrno>

#include "host/netlink_message.h"

namespace kiln::host {
namespace {

constexpr std::uint16_t type_of(int message) { return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message); }

nfgenmsg family(std::uint8_t value) {
  nfgenmsg head{};
  head.nfgen_family = value;
  head.version = NFNETLINK_V0;
  return head;
}

// A batch is one transaction: all or nothing.
class Batch {
 public:
  Batch() { frame(NFNL_MSG_BATCH_BEGIN); }
  NetlinkMessage message(int type, std::uint16_t flags) {
    return NetlinkMessage(type_of(type), flags, family(NFPROTO_IPV4));
  }
  void add(NetlinkMessage& message) { text_ += message.finish(++sequence_); }
  Status commit(int socket, std::string_view what) {
    const std::uint32_t last = sequence_;
    frame(NFNL_MSG_BATCH_END);
    return exchange_netlink(socket, text_, last, what);
  }

 private:
  void frame(int type) {
    nfgenmsg head = family(AF_UNSPEC);
    head.res_id = htons(NFNL_SUBSYS_NFTABLES);
    NetlinkMessage message(static_cast<std::uint16_t>(type), 0, head);
    text_ += message.finish(++sequence_);
  }
  std::string text_;
  std::uint32_t sequence_ = 0;
};

constexpr std::uint16_t kNested = NLA_F_NESTED;

// One expression of a rule: its name, then whatever `fill` writes.
template <typename Fill>
void expression(NetlinkMessage& m, std::string_view name, Fill fill) {
  const std::size_t element = m.open(NFTA_LIST_ELEM | kNested);
  m.text(NFTA_EXPR_NAME, name);
  const std::size_t data = m.open(NFTA_EXPR_DATA | kNested);
  fill();
  m.close(data);
  m.close(element);
}

void value(NetlinkMessage& m, std::uint16_t type, const void* bytes, std::size_t size) {
  const std::size_t data = m.open(type | kNested);
  m.bytes(NFTA_DATA_VALUE, bytes, size);
  m.close(data);
}

void compare(NetlinkMessage& m, std::uint32_t operation, const void* bytes, std::size_t size) {
  expression(m, "cmp", [&] {
    m.number<std::uint32_t>(NFTA_CMP_SREG, htonl(NFT_REG_1));
    m.number<std::uint32_t>(NFTA_CMP_OP, htonl(operation));
    value(m, NFTA_CMP_DATA, bytes, size);
  });
}

void add_rule(NetlinkMessage& m, const std::string& table, Subnet subnet, const std::string& inside) {
  m.text(NFTA_RULE_TABLE, table);
  m.text(NFTA_RULE_CHAIN, "postrouting");
  const std::size_t list = m.open(NFTA_RULE_EXPRESSIONS | kNested);
  expression(m, "payload", [&] {
    m.number<std::uint32_t>(NFTA_PAYLOAD_DREG, htonl(NFT_REG_1));
    m.number<std::uint32_t>(NFTA_PAYLOAD_BASE, htonl(NFT_PAYLOAD_NETWORK_HEADER));
    m.number<std::uint32_t>(NFTA_PAYLOAD_OFFSET, htonl(12));  // source address
    m.number<std::uint32_t>(NFTA_PAYLOAD_LEN, htonl(4));
  });
  const std::uint32_t mask = htonl(~((1u << (32 - subnet.prefix)) - 1)), none = 0, base = htonl(subnet.base);
  expression(m, "bitwise", [&] {
    m.number<std::uint32_t>(NFTA_BITWISE_SREG, htonl(NFT_REG_1));
    m.number<std::uint32_t>(NFTA_BITWISE_DREG, htonl(NFT_REG_1));
    m.number<std::uint32_t>(NFTA_BITWISE_LEN, htonl(4));
    value(m, NFTA_BITWISE_MASK, &mask, sizeof mask);
    value(m, NFTA_BITWISE_XOR, &none, sizeof none);
  });
  compare(m, NFT_CMP_EQ, &base, sizeof base);
  expression(m, "meta", [&] {
    m.number<std::uint32_t>(NFTA_META_DREG, htonl(NFT_REG_1));
    m.number<std::uint32_t>(NFTA_META_KEY, htonl(NFT_META_OIFNAME));
  });
  char name[IFNAMSIZ] = {};
  inside.copy(name, IFNAMSIZ - 1);
  compare(m, NFT_CMP_NEQ, name, sizeof name);
  expression(m, "masq", [] {});
  m.close(list);
}

}  // namespace

Status masquerade(const std::string& table, Subnet subnet, const std::string& inside) {
  KILN_ASSIGN_OR_RETURN(Fd socket, open_netlink(NETLINK_NETFILTER));
  remove_masquerade(table);
  Batch batch;
  NetlinkMessage make_table = batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE);
  make_table.text(NFTA_TABLE_NAME, table);
  batch.add(make_table);

  NetlinkMessage make_chain = batch.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  make_chain.text(NFTA_CHAIN_TABLE, table);
  make_chain.text(NFTA_CHAIN_NAME, "postrouting");
  make_chain.text(NFTA_CHAIN_TYPE, "nat");
  const std::size_t hook = make_chain.open(NFTA_CHAIN_HOOK | kNested);
  make_chain.number<std::uint32_t>(NFTA_HOOK_HOOKNUM, htonl(NF_INET_POST_ROUTING));
  make_chain.number<std::uint32_t>(NFTA_HOOK_PRIORITY, htonl(100));  // source NAT
  make_chain.close(hook);
  batch.add(make_chain);

  NetlinkMessage rule = batch.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK);
  add_rule(rule, table, subnet, inside);
  batch.add(rule);
  return batch.commit(socket.get(),
                      fmt::format("set up masquerading for {}/{}", format_ipv4(subnet.base), subnet.prefix));
}

void remove_masquerade(const std::string& table) {
  Result<Fd> socket = open_netlink(NETLINK_NETFILTER);
  if (!socket.ok()) return;
  Batch batch;
  NetlinkMessage message = batch.message(NFT_MSG_DELTABLE, NLM_F_ACK);
  message.text(NFTA_TABLE_NAME, table);
  batch.add(message);
  (void)batch.commit(socket->get(), "remove masquerading");
}

Status allow_forwarding() {
  const std::string path = "/proc/sys/net/ipv4/ip_forward";
  Result<std::string> now = read_file(path, 16);
  if (now.ok() && now->starts_with('1')) return ok();
  return write_file(path, "1");
}

}  // namespace kiln::host
