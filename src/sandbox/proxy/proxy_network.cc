#include "sandbox/proxy/proxy_network.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "host/netlink.h"

namespace kiln::sandbox::proxy {
namespace {

constexpr auto kFinishPatience = std::chrono::seconds(2);

// The step's side: nothing but loopback.
class LoopbackLease final : public NetworkLease {
 public:
  explicit LoopbackLease(host::Fd ns) : ns_(std::move(ns)) {}
  int namespace_fd() const override { return ns_.get(); }
  std::string namespace_path() const override { return fmt::format("/proc/{}/fd/{}", ::getpid(), ns_.get()); }
  std::optional<NetworkSample> sample() const override { return std::nullopt; }

 private:
  host::Fd ns_;
};

struct Listener {
  host::Fd socket;
  std::uint16_t port = 0;
};

Result<Listener> listen_in(int network_namespace) {
  Listener out;
  KILN_RETURN_IF_ERROR(host::in_network_namespace(network_namespace, [&]() -> Status {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    auto* address = reinterpret_cast<sockaddr*>(&where);
    out.socket = host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!out.socket.valid() || ::bind(out.socket.get(), address, size) != 0 || ::listen(out.socket.get(), 128) != 0 ||
        ::getsockname(out.socket.get(), address, &size) != 0) {
      return errno_error(errno, "listen for a step's proxy");
    }
    out.port = ntohs(where.sin_port);
    return ok();
  }));
  return out;
}

}  // namespace

// Threads that serve connections. They may outlive their session by the time that looking up a name
// takes, but not this.
struct ProxyNetwork::State {
  explicit State(std::shared_ptr<Network> network) : default_network(std::move(network)) {}

  const std::shared_ptr<Network> default_network;
  std::mutex mutex;
  std::shared_ptr<Authority> authority;  // made when first needed
  std::list<std::jthread> threads;
  std::vector<std::thread::id> ended;

  Result<std::shared_ptr<Authority>> get_authority() {
    std::lock_guard lock(mutex);
    if (!authority) {
      KILN_ASSIGN_OR_RETURN(authority, Authority::make());
    }
    return authority;
  }

  void run(std::function<void()> task) {
    std::lock_guard lock(mutex);
    threads.remove_if([&](std::jthread& thread) {
      const auto at = std::find(ended.begin(), ended.end(), thread.get_id());
      if (at == ended.end()) return false;
      ended.erase(at);
      thread.join();  // it is about to end
      return true;
    });
    threads.emplace_back([this, task = std::move(task)] {
      task();
      std::lock_guard ended_lock(mutex);
      ended.push_back(std::this_thread::get_id());
    });
  }
};

namespace {

// What the threads of one session share with it; alive as long as any of them.
struct Shared {
  ExchangeGround ground;
  std::unique_ptr<NetworkLease> egress;
  std::stop_source stop;
  host::Fd listener;
  std::mutex mutex;
  std::condition_variable changed;
  int serving = 0;
};

class Served {
 public:
  explicit Served(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {
    std::lock_guard lock(shared_->mutex);
    ++shared_->serving;
  }
  ~Served() {
    if (!shared_) return;
    std::lock_guard lock(shared_->mutex);
    --shared_->serving;
    shared_->changed.notify_all();
  }
  Served(Served&&) = default;
  Served(const Served&) = delete;

 private:
  std::shared_ptr<Shared> shared_;
};

class RunningSession final : public Session {
 public:
  using Run = std::function<void(std::function<void()>)>;
  RunningSession(std::shared_ptr<Shared> shared, std::shared_ptr<const NetworkLease> network, std::uint16_t port,
                 Run run)
      : shared_(std::move(shared)), network_(std::move(network)), port_(port), run_(std::move(run)) {
    accepting_ = std::jthread([this] { accept(); });
  }
  ~RunningSession() override { finish(); }

  std::shared_ptr<const NetworkLease> network() const override { return network_; }
  const std::string& certificate() const override { return shared_->ground.authority->certificate(); }
  const Capture& capture() const override { return *shared_->ground.capture; }

  std::vector<std::string> environment() const override {
    const std::string proxy = fmt::format("http://127.0.0.1:{}", port_);
    const std::string local = "127.0.0.1,localhost,::1";
    return {"HTTP_PROXY=" + proxy,  "HTTPS_PROXY=" + proxy, "http_proxy=" + proxy,
            "https_proxy=" + proxy, "NO_PROXY=" + local,    "no_proxy=" + local};
  }

  void finish() override {
    shared_->stop.request_stop();
    shared_->ground.stopped->ring();
    if (accepting_.joinable()) accepting_.join();
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait_for(lock, kFinishPatience, [&] { return shared_->serving == 0; });
  }

 private:
  void accept() {
    pollfd waits[] = {{shared_->listener.get(), POLLIN, 0}, {shared_->ground.stopped->fd(), POLLIN, 0}};
    while (!shared_->stop.stop_requested()) {
      (void)::poll(waits, 2, -1);
      if (waits[1].revents != 0) break;
      host::Fd client(::accept4(shared_->listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client.valid()) continue;
      auto socket = std::make_shared<host::Fd>(std::move(client));
      auto served = std::make_shared<Served>(shared_);
      run_([shared = shared_, socket, served] { serve_connection(std::move(*socket), shared->ground); });
    }
    shared_->listener.reset();
  }

  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<const NetworkLease> network_;
  const std::uint16_t port_;
  const Run run_;
  std::jthread accepting_;
};

}  // namespace

ProxyNetwork::ProxyNetwork(std::shared_ptr<Network> default_network)
    : state_(std::make_unique<State>(std::move(default_network))) {}

ProxyNetwork::~ProxyNetwork() {
  for (;;) {
    std::list<std::jthread> left;
    {
      std::lock_guard lock(state_->mutex);
      left.swap(state_->threads);
    }
    if (left.empty()) break;
    left.clear();
  }
}

Result<std::unique_ptr<Session>> ProxyNetwork::start(SessionRequest request, std::stop_token stop) {
  auto shared = std::make_shared<Shared>();
  KILN_ASSIGN_OR_RETURN(shared->ground.authority, state_->get_authority());
  shared->ground.capture = std::make_shared<Capture>();
  shared->ground.decide = std::move(request.decide);
  shared->ground.stopped = std::make_shared<host::Wake>();
  shared->ground.stop = shared->stop.get_token();
  if (request.egress == Egress::kDefault && state_->default_network) {
    KILN_ASSIGN_OR_RETURN(shared->egress, state_->default_network->lease({}, stop));
    shared->ground.egress_namespace = shared->egress->namespace_fd();
  }
  KILN_ASSIGN_OR_RETURN(host::Fd ns, host::make_network_namespace());
  KILN_ASSIGN_OR_RETURN(Listener listener, listen_in(ns.get()));
  shared->listener = std::move(listener.socket);
  auto network = std::make_shared<LoopbackLease>(std::move(ns));
  return std::unique_ptr<Session>(std::make_unique<RunningSession>(
      std::move(shared), std::move(network), listener.port,
      [state = state_.get()](std::function<void()> task) { state->run(std::move(task)); }));
}

}  // namespace kiln::sandbox::proxy
