#include "sandbox/network_bridge.h"

#include <unistd.h>

#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "base/id.h"
#include "base/log.h"
#include "host/fs.h"
#include "host/nat.h"
#include "host/netlink.h"

namespace kiln::sandbox {
namespace {

constexpr std::size_t kReadyDefault = 4;

// A namespace with one interface on the bridge. Movable by pointer only.
struct Room {
  host::Fd ns;
  std::string interface;  // the end on the host's side
  host::Ipv4 address = 0;
};

std::uint64_t counter(const std::string& interface, std::string_view name) {
  Result<std::string> text = host::read_file(fmt::format("/sys/class/net/{}/statistics/{}", interface, name), 64);
  std::uint64_t value = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

class BridgeNetwork final : public Network, public std::enable_shared_from_this<BridgeNetwork> {
 public:
  BridgeNetwork(BridgeOptions options, host::Subnet subnet) : options_(std::move(options)), subnet_(subnet) {}
  ~BridgeNetwork() override;

  Status open();
  Result<std::unique_ptr<NetworkLease>> lease(const std::string& hostname) override;
  std::string label() const override { return "cni"; }

  void give_back(Room room, bool reusable);

 private:
  Result<Room> make_room();
  void remove_room(Room& room);
  Result<host::Ipv4> take_address();
  void work();
  std::string table() const { return "kiln-" + options_.bridge; }

  const BridgeOptions options_;
  const host::Subnet subnet_;
  unsigned mtu_ = 1500;
  bool bridge_is_ours_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<host::Ipv4> taken_;
  host::Ipv4 next_ = 1;
  std::deque<Room> ready_;
  std::deque<Room> used_;
  std::size_t wanted_ = 0;
  bool ending_ = false;
  std::jthread worker_;
};

class BridgeLease final : public NetworkLease {
 public:
  BridgeLease(std::shared_ptr<BridgeNetwork> network, Room room, bool reusable)
      : network_(std::move(network)), room_(std::move(room)), reusable_(reusable) {}
  ~BridgeLease() override { network_->give_back(std::move(room_), reusable_); }
  int namespace_fd() const override { return room_.ns.get(); }
  std::string namespace_path() const override { return fmt::format("/proc/{}/fd/{}", ::getpid(), room_.ns.get()); }
  Result<NetworkSample> sample() const override {
    // What the host's end receives the step has sent.
    const std::string& name = room_.interface;
    return NetworkSample{.rx_bytes = counter(name, "tx_bytes"),     .rx_packets = counter(name, "tx_packets"),
                         .rx_errors = counter(name, "tx_errors"),   .rx_dropped = counter(name, "tx_dropped"),
                         .tx_bytes = counter(name, "rx_bytes"),     .tx_packets = counter(name, "rx_packets"),
                         .tx_errors = counter(name, "rx_errors"),   .tx_dropped = counter(name, "rx_dropped")};
  }

 private:
  std::shared_ptr<BridgeNetwork> network_;
  Room room_;
  bool reusable_;
};

Status BridgeNetwork::open() {
  KILN_ASSIGN_OR_RETURN(host::Links links, host::Links::open());
  mtu_ = host::uplink_mtu();
  if (!links.find(options_.bridge)) {
    KILN_RETURN_IF_ERROR(links.add_bridge(options_.bridge, mtu_));
    bridge_is_ours_ = true;
  } else if (!host::exists(fmt::format("/sys/class/net/{}/bridge", options_.bridge))) {
    return environment_error(Code::kInvalidArgument, fmt::format("\"{}\" already exists but is not a bridge", options_.bridge));
  }
  KILN_RETURN_IF_ERROR(links.add_address(options_.bridge, subnet_.base + 1, subnet_.prefix));
  KILN_RETURN_IF_ERROR(links.up(options_.bridge));
  KILN_RETURN_IF_ERROR(host::allow_forwarding());
  KILN_RETURN_IF_ERROR(host::masquerade(table(), subnet_, options_.bridge));
  wanted_ = options_.pool_size > 0 ? static_cast<std::size_t>(options_.pool_size) : 0;
  worker_ = std::jthread([this] { work(); });
  return ok();
}

BridgeNetwork::~BridgeNetwork() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  if (worker_.joinable()) worker_.join();
  for (Room& room : ready_) remove_room(room);
  for (Room& room : used_) remove_room(room);
  host::remove_masquerade(table());
  if (!bridge_is_ours_) return;
  if (Result<host::Links> links = host::Links::open(); links.ok()) (void)links->remove(options_.bridge);
}

Result<host::Ipv4> BridgeNetwork::take_address() {
  std::lock_guard lock(mutex_);
  const host::Ipv4 last = (1u << (32 - subnet_.prefix)) - 2;
  for (host::Ipv4 tried = 0; tried < last; ++tried) {
    next_ = next_ >= last ? 2 : next_ + 1;  // an address rests before it is used again
    if (taken_.insert(next_).second) return subnet_.base + next_;
  }
  return environment_error(Code::kResourceExhausted, fmt::format("no address is left in {}", options_.subnet));
}

Result<Room> BridgeNetwork::make_room() {
  Room room;
  KILN_ASSIGN_OR_RETURN(room.ns, host::make_network_namespace());
  KILN_ASSIGN_OR_RETURN(room.address, take_address());
  room.interface = "kiln" + new_id().substr(0, 8);
  Status made = ok();
  {
    KILN_ASSIGN_OR_RETURN(host::Links links, host::Links::open());
    made = links.add_veth(room.interface, {.master = options_.bridge, .peer = "eth0", .peer_namespace = room.ns.get(), .mtu = mtu_});
  }
  if (made.ok()) {
    made = host::in_network_namespace(room.ns.get(), [&]() -> Status {
      KILN_ASSIGN_OR_RETURN(host::Links inside, host::Links::open());
      KILN_RETURN_IF_ERROR(inside.add_address("eth0", room.address, subnet_.prefix));
      KILN_RETURN_IF_ERROR(inside.up("eth0"));
      return inside.add_default_route(subnet_.base + 1);
    });
  }
  if (!made.ok()) {
    remove_room(room);
    return made;
  }
  return room;
}

void BridgeNetwork::remove_room(Room& room) {
  if (Result<host::Links> links = host::Links::open(); links.ok()) (void)links->remove(room.interface);
  room.ns.reset();
  std::lock_guard lock(mutex_);
  taken_.erase(room.address - subnet_.base);
}

Result<std::unique_ptr<NetworkLease>> BridgeNetwork::lease(const std::string& hostname) {
  const bool reusable = hostname.empty();
  std::optional<Room> room;
  {
    std::lock_guard lock(mutex_);
    wanted_ = std::max(wanted_, kReadyDefault);
    if (reusable && !ready_.empty()) {
      room = std::move(ready_.front());
      ready_.pop_front();
    }
    wake_.notify_all();
  }
  if (!room) {
    KILN_ASSIGN_OR_RETURN(room, make_room());
  }
  return std::unique_ptr<NetworkLease>(std::make_unique<BridgeLease>(shared_from_this(), std::move(*room), reusable));
}

void BridgeNetwork::give_back(Room room, bool reusable) {
  std::lock_guard lock(mutex_);
  if (reusable && ready_.size() < wanted_) {
    ready_.push_back(std::move(room));
  } else {
    used_.push_back(std::move(room));
    wake_.notify_all();
  }
}

void BridgeNetwork::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return ending_ || !used_.empty() || ready_.size() < wanted_; });
    if (ending_) return;
    if (!used_.empty()) {
      Room room = std::move(used_.front());
      used_.pop_front();
      lock.unlock();
      remove_room(room);
      lock.lock();
      continue;
    }
    lock.unlock();
    Result<Room> room = make_room();
    lock.lock();
    if (room.ok()) {
      ready_.push_back(std::move(*room));
    } else {
      log_warn("prepare a step's network: {}", message_of(room.status()));
      wanted_ = 0;
    }
  }
}

}  // namespace

Result<std::shared_ptr<Network>> open_bridge_network(BridgeOptions options) {
  const std::optional<host::Subnet> subnet = host::parse_subnet(options.subnet);
  if (!subnet) return environment_error(Code::kInvalidArgument, fmt::format("invalid bridge subnet '{}'", options.subnet));
  auto network = std::make_shared<BridgeNetwork>(std::move(options), *subnet);
  KILN_RETURN_IF_ERROR(network->open());
  return std::shared_ptr<Network>(std::move(network));
}

}  // namespace kiln::sandbox
