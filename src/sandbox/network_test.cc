// Networks for steps, made for real: addresses, reach, counting, and that nothing is left. Plug-ins are
// checked with scripts that tell what they were told, and with the real ones where they are installed.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/text.h"
#include "host/command.h"
#include "host/fs.h"
#include "host/nat.h"
#include "host/netlink.h"
#include "sandbox/cni_plugins.h"
#include "sandbox/network_bridge.h"
#include "sandbox/network_cni.h"

namespace kiln::sandbox {
namespace {

std::string address_in(const NetworkLease& lease) {
  std::string out;
  EXPECT_TRUE(host::in_network_namespace(lease.namespace_fd(), [&] {
                ifaddrs* all = nullptr;
                if (::getifaddrs(&all) != 0) return ok();
                for (ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
                  if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET ||
                      std::string(one->ifa_name) != "eth0")
                    continue;
                  char text[64] = {};
                  ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(one->ifa_addr)->sin_addr, text, sizeof text);
                  out = text;
                }
                ::freeifaddrs(all);
                return ok();
              }).ok());
  return out;
}

// Whether a TCP connection from one namespace reaches a listener in the other, with some bytes.
bool reaches(const NetworkLease& from, const NetworkLease& to) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(7777);
  host::Fd listener, caller;
  (void)host::in_network_namespace(to.namespace_fd(), [&] {
    listener = host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    (void)::bind(listener.get(), reinterpret_cast<sockaddr*>(&where), sizeof where);
    (void)::listen(listener.get(), 1);
    return ok();
  });
  ::inet_pton(AF_INET, address_in(to).c_str(), &where.sin_addr);
  bool connected = false;
  (void)host::in_network_namespace(from.namespace_fd(), [&] {
    caller = host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{2, 0};
    (void)::setsockopt(caller.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    connected = ::connect(caller.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) == 0;
    return ok();
  });
  const std::string bytes(1000, 'x');
  return connected && ::send(caller.get(), bytes.data(), bytes.size(), 0) == 1000;
}

class Bridge : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    folder = *host::TempDir::make("kiln-bridge-");
    options = {.bridge = "kilntest1", .subnet = "10.213.1.0/26", .lock_folder = folder.path()};
  }
  host::TempDir folder;
  BridgeOptions options;
};

TEST_F(Bridge, GivesLeasesAddressesFromWhichTheyReachEachOther) {
  auto network = open_bridge_network(options);
  if (errno_of(network.status()) == EPERM) GTEST_SKIP() << message_of(network.status());
  ASSERT_TRUE(network.ok()) << message_of(network.status());
  {
    auto one = *(*network)->lease({}, {});
    auto two = *(*network)->lease({.hostname = "named"}, {});
    EXPECT_NE(address_in(*one), "");
    EXPECT_NE(address_in(*one), address_in(*two));
    EXPECT_TRUE(reaches(*one, *two));
    ASSERT_TRUE(one->sample() && two->sample());
    EXPECT_GT(one->sample()->tx_bytes, 1000u);
    EXPECT_GT(two->sample()->rx_bytes, 1000u);
  }
  const auto again = *(*network)->lease({}, {});
  EXPECT_LT(again->sample()->tx_bytes, 1000u) << "counts what a lease before it sent";
}

TEST_F(Bridge, IsSharedByDaemonsAndTakenAwayByTheLast) {
  auto first = open_bridge_network(options);
  if (errno_of(first.status()) == EPERM) GTEST_SKIP() << message_of(first.status());
  ASSERT_TRUE(first.ok()) << message_of(first.status());
  auto second = open_bridge_network(options);
  ASSERT_TRUE(second.ok()) << message_of(second.status());
  std::set<std::string> addresses;
  std::vector<std::unique_ptr<NetworkLease>> leases;
  for (int i = 0; i < 3; ++i) {
    for (auto* network : {&*first, &*second}) {
      auto lease = (*network)->lease({.fresh = true}, {});
      ASSERT_TRUE(lease.ok()) << message_of(lease.status());
      EXPECT_TRUE(addresses.insert(address_in(**lease)).second) << "given twice";
      leases.push_back(std::move(*lease));
    }
  }
  EXPECT_TRUE(reaches(*leases[0], *leases[1]));
  leases.clear();
  first->reset();
  EXPECT_TRUE(host::exists("/sys/class/net/kilntest1"));
  second->reset();
  EXPECT_FALSE(host::exists("/sys/class/net/kilntest1"));
}

TEST_F(Bridge, KeepsItsHardwareAddressWhoeverComesAndGoes) {
  auto network = open_bridge_network(options);
  if (errno_of(network.status()) == EPERM) GTEST_SKIP() << message_of(network.status());
  ASSERT_TRUE(network.ok()) << message_of(network.status());
  const std::string file = fmt::format("/sys/class/net/{}/address", options.bridge);
  const auto before = host::read_file(file);
  ASSERT_TRUE(before.ok()) << before.status();
  std::vector<std::unique_ptr<NetworkLease>> leases;
  for (int i = 0; i < 4; ++i) {
    leases.push_back(*(*network)->lease({.fresh = true}, {}));
    EXPECT_EQ(*host::read_file(file), *before) << "steps that know the old one reach nobody";
  }
}

TEST_F(Bridge, SaysWhenAllAddressesAreTaken) {
  options.subnet = "10.213.1.0/30";  // the bridge's and one more
  auto network = open_bridge_network(options);
  if (errno_of(network.status()) == EPERM) GTEST_SKIP() << message_of(network.status());
  ASSERT_TRUE(network.ok()) << message_of(network.status());
  auto one = (*network)->lease({.fresh = true}, {});
  ASSERT_TRUE(one.ok()) << message_of(one.status());
  EXPECT_EQ(message_of((*network)->lease({.fresh = true}, {}).status()), "no address is left in 10.213.1.0/30");
}

TEST_F(Bridge, RefusesWhatIsNoBridgeOrNoSubnet) {
  options.bridge = "lo";
  EXPECT_EQ(message_of(open_bridge_network(options).status()), "\"lo\" already exists but is not a bridge");
  EXPECT_EQ(open_bridge_network({.subnet = "10.0.0.0"}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(open_bridge_network({.bridge = "a/b"}).status().code(), Code::kInvalidArgument);
}

class Cni : public testing::Test {
 protected:
  void SetUp() override {
    folder = *host::TempDir::make("kiln-cni-");
    ASSERT_TRUE(host::make_dirs(folder.path() + "/bin").ok());
  }
  std::string at(const std::string& name) const { return folder.path() + "/" + name; }
  void plugin(const std::string& name, const std::string& script) {
    ASSERT_TRUE(host::write_file(at("bin/" + name), "#!/bin/sh\n" + script).ok());
    ASSERT_EQ(::chmod(at("bin/" + name).c_str(), 0755), 0);
  }
  void config(const std::string& text) { ASSERT_TRUE(host::write_file(at("net.conflist"), text).ok()); }
  std::string told() const { return host::read_file(at("told"), 1 << 16).value_or(""); }
  host::TempDir folder;
};

TEST_F(Cni, RunsAChainForwardsAndBackwards) {
  config(R"({"cniVersion": "0.4.0", "name": "net", "plugins": [{"type": "one", "a": 1}, {"type": "two"}]})");
  const std::string tell =
      "echo \"${0##*/} $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS $(cat)\" >> " + at("told") + "\n";
  plugin("one", tell + "echo '{\"interfaces\": [{\"name\": \"vethX\"}, {\"name\": \"eth0\", \"sandbox\": \"/ns\"}]}'");
  plugin("two", tell + "echo '{\"interfaces\": [{\"name\": \"vethX\"}], \"b\": 2}'");
  const auto plugins = CniPlugins::load(at("net.conflist"), at("bin"));
  ASSERT_TRUE(plugins.ok()) << message_of(plugins.status());
  const auto result = plugins->add({"id1", "ns1", "web"}, {});
  ASSERT_TRUE(result.ok()) << message_of(result.status());
  EXPECT_EQ(host_interface_of(*result), "vethX");
  EXPECT_TRUE(plugins->remove({"id1", "ns1", "web"}, *result, {}).ok());
  EXPECT_EQ(
      told(),
      "one ADD id1 ns1 eth0 IgnoreUnknown=1;K8S_POD_NAME=web "
      "{\"a\":1,\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"type\":\"one\"}\n"
      "two ADD id1 ns1 eth0 IgnoreUnknown=1;K8S_POD_NAME=web {\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"prevResult\":"
      "{\"interfaces\":[{\"name\":\"vethX\"},{\"name\":\"eth0\",\"sandbox\":\"/ns\"}]},\"type\":\"two\"}\n"
      "two DEL id1 ns1 eth0 IgnoreUnknown=1;K8S_POD_NAME=web {\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"prevResult\":"
      "{\"b\":2,\"interfaces\":[{\"name\":\"vethX\"}]},\"type\":\"two\"}\n"
      "one DEL id1 ns1 eth0 IgnoreUnknown=1;K8S_POD_NAME=web "
      "{\"a\":1,\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"prevResult\":"
      "{\"b\":2,\"interfaces\":[{\"name\":\"vethX\"}]},\"type\":\"one\"}\n");
}

TEST_F(Cni, TakesBackWhatAFailedChainBegan) {
  config(R"({"name": "net", "plugins": [{"type": "one"}, {"type": "two"}]})");
  plugin("one", "echo $CNI_COMMAND >> " + at("told") + "; echo '{}'");
  plugin(
      "two",
      "[ $CNI_COMMAND = DEL ] && exit 0; echo '{\"code\": 11, \"msg\": \"no luck\", \"details\": \"today\"}'; exit 1");
  const auto result = CniPlugins::load(at("net.conflist"), at("bin"))->add({"id1", "ns1", ""}, {});
  EXPECT_EQ(message_of(result.status()), "CNI setup error: plugin type=\"two\" failed (add): no luck; today");
  EXPECT_EQ(told(), "ADD\nDEL\n");
}

TEST_F(Cni, NamesWhatIsWrongWithAConfiguration) {
  EXPECT_TRUE(is_not_found(CniPlugins::load(at("none.json"), at("bin")).status()));
  for (const char* text :
       {"[", "{}", R"({"name": "x", "plugins": []})", R"({"name": "x", "plugins": [{"type": "../sh"}]})"}) {
    config(text);
    EXPECT_EQ(CniPlugins::load(at("net.conflist"), at("bin")).status().code(), Code::kInvalidArgument) << text;
  }
}

TEST_F(Cni, SetsNamespacesUpWithTheRealPlugins) {
  const std::string real = "/usr/lib/cni";
  if (::geteuid() != 0 || !host::exists(real + "/bridge")) GTEST_SKIP() << "needs root and containernetworking-plugins";
  ASSERT_TRUE(host::write_file(at("net.json"),
                               R"({"cniVersion": "1.0.0", "name": "kilntest2", "type": "bridge", "bridge": "kilntest2",
    "isDefaultGateway": true, "ipMasq": false, "ipam": {"type": "host-local", "dataDir": ")" +
                                   at("ipam") + R"(",
    "ranges": [[{"subnet": "10.213.2.0/24"}]]}})")
                  .ok());
  {
    auto network = open_cni_network({.config = at("net.json"), .program_folder = real, .state_folder = at("state")});
    ASSERT_TRUE(network.ok()) << message_of(network.status());
    auto one = (*network)->lease({}, {});
    ASSERT_TRUE(one.ok()) << message_of(one.status());
    auto two = (*network)->lease({.hostname = "web"}, {});
    ASSERT_TRUE(two.ok()) << message_of(two.status());
    EXPECT_TRUE(address_in(**one).starts_with("10.213.2.")) << address_in(**one);
    EXPECT_TRUE(reaches(**one, **two));
    EXPECT_GT((*one)->sample()->tx_bytes, 1000u);
  }
  EXPECT_EQ(host::list_dir(at("state"))->size(), 0u);
  const std::vector<std::string> leases = *host::list_dir(at("ipam") + "/kilntest2");
  for (const std::string& name : leases) EXPECT_FALSE(name.starts_with("10.")) << name << " is still leased";
  (void)host::run_command({.args = {"ip", "link", "delete", "kilntest2"}}, {});
}

}  // namespace
}  // namespace kiln::sandbox
