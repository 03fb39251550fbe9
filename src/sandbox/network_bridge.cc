#include "sandbox/network_bridge.h"

#include <net/if.h>

#include <mutex>
#include <set>

#include "base/id.h"
#include "base/log.h"
#include "host/fs.h"
#include "host/nat.h"
#include "host/netlink.h"
#include "host/shared_lock.h"
#include "sandbox/forward_rules.h"
#include "sandbox/network_pool.h"

namespace kiln::sandbox {
namespace {

// Marks a bridge that a daemon of ours made, beyond that daemon's life.
constexpr std::string_view kOurs = "made by kiln";
constexpr std::int64_t kUsersPlace = 0;  // in the lock file; the others are addresses

std::string alias_file(const std::string& bridge) { return fmt::format("/sys/class/net/{}/ifalias", bridge); }

bool is_ours(const std::string& bridge) {
  const Result<std::string> alias = host::read_file(alias_file(bridge), 256);
  return alias.ok() && alias->starts_with(kOurs);
}

// The addresses of the subnet: those that other processes hold are passed over.
class Addresses {
 public:
  Addresses(host::Subnet subnet, const host::SharedLock& lock) : subnet_(subnet), lock_(lock) {}
  Result<host::Ipv4> take();
  void give(host::Ipv4 address);

 private:
  const host::Subnet subnet_;
  const host::SharedLock& lock_;
  std::mutex mutex_;
  std::set<host::Ipv4> taken_;
  host::Ipv4 next_ = 1;
};

Result<host::Ipv4> Addresses::take() {
  std::lock_guard lock(mutex_);
  const host::Ipv4 last = (1u << (32 - subnet_.prefix)) - 2;
  for (host::Ipv4 tried = 0; tried < last; ++tried) {
    next_ = next_ >= last ? 2 : next_ + 1;  // an address rests before it is used again
    const host::Ipv4 address = subnet_.base + next_;
    if (taken_.contains(address) || !lock_.take(address)) continue;
    taken_.insert(address);
    return address;
  }
  return environment_error(Code::kResourceExhausted,
                           fmt::format("no address is left in {}/{}", host::format_ipv4(subnet_.base), subnet_.prefix));
}

void Addresses::give(host::Ipv4 address) {
  std::lock_guard lock(mutex_);
  taken_.erase(address);
  lock_.give(address);
}

class BridgeMaker final : public RoomMaker {
 public:
  BridgeMaker(BridgeOptions options, host::Subnet subnet, host::SharedLock lock)
      : options_(std::move(options)), subnet_(subnet), lock_(std::move(lock)), addresses_(subnet_, lock_) {}
  ~BridgeMaker() override;
  Status open();
  Result<std::unique_ptr<NetworkRoom>> make(const std::string& hostname, std::stop_token stop) override;
  void give(host::Ipv4 address) { addresses_.give(address); }

 private:
  // Daemons with other subnets on the same bridge have tables of their own.
  std::string table() const {
    return fmt::format("kiln-{}-{}-{}", options_.bridge, host::format_ipv4(subnet_.base), subnet_.prefix);
  }

  const BridgeOptions options_;
  const host::Subnet subnet_;
  const host::SharedLock lock_;
  Addresses addresses_;
  bool opened_ = false;
};

class BridgeRoom final : public NetworkRoom {
 public:
  explicit BridgeRoom(BridgeMaker& maker) : maker_(maker) {}
  ~BridgeRoom() override {
    if (Result<host::Links> links = host::Links::open(); links.ok() && !interface.empty())
      (void)links->remove(interface);
    ns.reset();
    if (address != 0) maker_.give(address);
  }
  host::Ipv4 address = 0;

 private:
  BridgeMaker& maker_;
};

Status BridgeMaker::open() {
  KILN_RETURN_IF_ERROR(lock_.share(kUsersPlace));
  KILN_ASSIGN_OR_RETURN(host::Links links, host::Links::open());
  if (!links.find(options_.bridge)) {
    const Status made = links.add_bridge(options_.bridge, host::uplink_mtu());
    if (!made.ok() && errno_of(made) != EEXIST) return made;  // another daemon may have been quicker
    if (made.ok()) (void)host::write_file(alias_file(options_.bridge), kOurs);
  }
  if (!host::exists(fmt::format("/sys/class/net/{}/bridge", options_.bridge))) {
    return environment_error(Code::kInvalidArgument,
                             fmt::format("\"{}\" already exists but is not a bridge", options_.bridge));
  }
  opened_ = true;
  KILN_RETURN_IF_ERROR(links.add_address(options_.bridge, subnet_.base + 1, subnet_.prefix));
  KILN_RETURN_IF_ERROR(links.up(options_.bridge));
  KILN_RETURN_IF_ERROR(host::allow_forwarding());
  KILN_RETURN_IF_ERROR(host::masquerade(table(), subnet_, options_.bridge));
  open_forwarding(options_.bridge);
  return ok();
}

BridgeMaker::~BridgeMaker() {
  // Whoever starts now waits for us to have taken everything away.
  if (!opened_ || !lock_.take(kUsersPlace)) return;
  host::remove_masquerade(table());
  close_forwarding(options_.bridge);
  if (!is_ours(options_.bridge)) return;
  if (Result<host::Links> links = host::Links::open(); links.ok()) (void)links->remove(options_.bridge);
}

Result<std::unique_ptr<NetworkRoom>> BridgeMaker::make(const std::string&, std::stop_token) {
  auto room = std::make_unique<BridgeRoom>(*this);
  KILN_ASSIGN_OR_RETURN(room->ns, host::make_network_namespace());
  KILN_ASSIGN_OR_RETURN(room->address, addresses_.take());
  KILN_ASSIGN_OR_RETURN(host::Links links, host::Links::open());
  const std::string name = "kiln" + new_id().substr(0, 8);
  KILN_RETURN_IF_ERROR(links.add_veth(
      name, {.master = options_.bridge, .peer = "eth0", .peer_namespace = room->ns.get(), .mtu = host::uplink_mtu()}));
  room->interface = name;
  KILN_RETURN_IF_ERROR(host::in_network_namespace(room->ns.get(), [&]() -> Status {
    KILN_ASSIGN_OR_RETURN(host::Links inside, host::Links::open());
    KILN_RETURN_IF_ERROR(inside.add_address("eth0", room->address, subnet_.prefix));
    KILN_RETURN_IF_ERROR(inside.up("eth0"));
    return inside.add_default_route(subnet_.base + 1);
  }));
  return std::unique_ptr<NetworkRoom>(std::move(room));
}

}  // namespace

Result<std::shared_ptr<Network>> open_bridge_network(BridgeOptions options) {
  const std::optional<host::Subnet> subnet = host::parse_subnet(options.subnet);
  if (!subnet)
    return environment_error(Code::kInvalidArgument, fmt::format("invalid bridge subnet '{}'", options.subnet));
  if (options.bridge.empty() || options.bridge.size() >= IFNAMSIZ ||
      options.bridge.find_first_of("/ :") != std::string::npos) {
    return environment_error(Code::kInvalidArgument, fmt::format("invalid bridge name '{}'", options.bridge));
  }
  KILN_ASSIGN_OR_RETURN(host::SharedLock lock,
                        host::SharedLock::open(fmt::format("{}/bridge-{}.lock", options.lock_folder, options.bridge)));
  const NetworkPoolOptions pool{.size = options.pool_size};
  auto maker = std::make_unique<BridgeMaker>(std::move(options), *subnet, std::move(lock));
  KILN_RETURN_IF_ERROR(maker->open());
  return make_network_pool(std::move(maker), pool);
}

}  // namespace kiln::sandbox
