#include "sandbox/network_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"
#include "host/fs.h"

namespace kiln::sandbox {
namespace {

using RoomPtr = std::unique_ptr<NetworkRoom>;

class NetworkPool final : public Network, public std::enable_shared_from_this<NetworkPool> {
 public:
  NetworkPool(std::unique_ptr<RoomMaker> maker, NetworkPoolOptions options, RoomPtr first)
      : maker_(std::move(maker)), options_(options), wanted_(static_cast<std::size_t>(std::max(options.size, 0))) {
    if (first) ready_.push_back(std::move(first));
    worker_ = std::jthread([this](std::stop_token stop) { work(stop); });
  }
  ~NetworkPool() override {
    worker_.request_stop();
    worker_.join();
    // The rooms before their maker.
    ready_.clear();
    used_.clear();
  }

  Result<std::unique_ptr<NetworkLease>> lease(const NetworkWish& wish, std::stop_token stop) override;
  std::string label() const override { return "cni"; }
  void give_back(RoomPtr room, bool reusable);

 private:
  void work(std::stop_token stop);

  const std::unique_ptr<RoomMaker> maker_;
  const NetworkPoolOptions options_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<RoomPtr> ready_;
  std::vector<RoomPtr> used_;
  std::size_t wanted_;
  std::jthread worker_;
};

class PoolLease final : public NetworkLease {
 public:
  PoolLease(std::shared_ptr<NetworkPool> pool, RoomPtr room, bool reusable)
      : pool_(std::move(pool)), room_(std::move(room)), reusable_(reusable), before_(read_counters(room_->interface)) {}
  ~PoolLease() override { pool_->give_back(std::move(room_), reusable_); }
  int namespace_fd() const override { return room_->ns.get(); }
  std::string namespace_path() const override { return fmt::format("/proc/{}/fd/{}", ::getpid(), room_->ns.get()); }
  std::optional<NetworkSample> sample() const override {
    std::optional<NetworkSample> now = read_counters(room_->interface);
    if (!now || !before_) return std::nullopt;
    now->rx_bytes -= before_->rx_bytes;
    now->rx_packets -= before_->rx_packets;
    now->rx_errors -= before_->rx_errors;
    now->rx_dropped -= before_->rx_dropped;
    now->tx_bytes -= before_->tx_bytes;
    now->tx_packets -= before_->tx_packets;
    now->tx_errors -= before_->tx_errors;
    now->tx_dropped -= before_->tx_dropped;
    return now;
  }

 private:
  std::shared_ptr<NetworkPool> pool_;
  RoomPtr room_;
  const bool reusable_;
  const std::optional<NetworkSample> before_;
};

Result<std::unique_ptr<NetworkLease>> NetworkPool::lease(const NetworkWish& wish, std::stop_token stop) {
  const bool reusable = wish.hostname.empty() && !wish.fresh;
  RoomPtr room;
  {
    std::lock_guard lock(mutex_);
    if (reusable) wanted_ = std::max(wanted_, static_cast<std::size_t>(options_.size_in_use));
    if (reusable && !ready_.empty()) {
      room = std::move(ready_.front());
      ready_.pop_front();
    }
    wake_.notify_all();
  }
  if (!room) {
    KILN_ASSIGN_OR_RETURN(room, maker_->make(wish.hostname, stop));
  }
  return std::unique_ptr<NetworkLease>(std::make_unique<PoolLease>(shared_from_this(), std::move(room), reusable));
}

void NetworkPool::give_back(RoomPtr room, bool reusable) {
  std::lock_guard lock(mutex_);
  if (reusable && ready_.size() < wanted_) {
    ready_.push_back(std::move(room));
    return;
  }
  used_.push_back(std::move(room));
  wake_.notify_all();
}

void NetworkPool::work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [&] { return !used_.empty() || ready_.size() < wanted_; }) && !stop.stop_requested()) {
    std::vector<RoomPtr> used;
    used.swap(used_);
    const bool missing = ready_.size() < wanted_;
    lock.unlock();
    used.clear();
    Result<RoomPtr> room = missing ? maker_->make("", stop) : Result<RoomPtr>(nullptr);
    lock.lock();
    if (room.ok() && *room) ready_.push_back(std::move(*room));
    if (room.ok() || is_cancelled(room.status())) continue;
    log_warn("prepare a step's network: {}", message_of(room.status()));
    wanted_ = 0;  // until a step asks again, and hears why
  }
}

}  // namespace

std::shared_ptr<Network> make_network_pool(std::unique_ptr<RoomMaker> maker, NetworkPoolOptions options,
                                           std::unique_ptr<NetworkRoom> first) {
  return std::make_shared<NetworkPool>(std::move(maker), options, std::move(first));
}

std::optional<NetworkSample> read_counters(const std::string& interface) {
  if (interface.empty()) return std::nullopt;
  Result<host::Fd> folder =
      host::open_file(fmt::format("/sys/class/net/{}/statistics", interface), O_PATH | O_DIRECTORY);
  if (!folder.ok()) return std::nullopt;
  auto read = [&](const char* name) -> std::uint64_t {
    const host::Fd file(::openat(folder->get(), name, O_RDONLY | O_CLOEXEC));
    char text[32];
    const ssize_t size = file.valid() ? ::read(file.get(), text, sizeof text) : 0;
    std::uint64_t value = 0;
    if (size > 0) std::from_chars(text, text + size, value);
    return value;
  };
  // What the host's end receives the container has sent.
  return NetworkSample{.rx_bytes = read("tx_bytes"),
                       .rx_packets = read("tx_packets"),
                       .rx_errors = read("tx_errors"),
                       .rx_dropped = read("tx_dropped"),
                       .tx_bytes = read("rx_bytes"),
                       .tx_packets = read("rx_packets"),
                       .tx_errors = read("rx_errors"),
                       .tx_dropped = read("rx_dropped")};
}

}  // namespace kiln::sandbox
