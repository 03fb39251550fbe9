#include "sandbox/network_cni.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/id.h"
#include "base/log.h"
#include "host/fs.h"
#include "host/netlink.h"
#include "sandbox/cni_plugins.h"
#include "sandbox/network_pool.h"

namespace kiln::sandbox {
namespace {

constexpr std::string_view kNamespaceEnding = ".ns";
constexpr std::string_view kResultEnding = ".json";

// The place of one namespace on the disk.
class Place {
 public:
  Place(const std::string& folder, const std::string& id)
      : ns(fmt::format("{}/{}{}", folder, id, kNamespaceEnding)),
        result(fmt::format("{}/{}{}", folder, id, kResultEnding)) {}
  Status bind(int fd) const {
    KILN_RETURN_IF_ERROR(host::write_file(ns, ""));
    if (::mount(fmt::format("/proc/self/fd/{}", fd).c_str(), ns.c_str(), nullptr, MS_BIND, nullptr) == 0) return ok();
    return errno_error(errno, fmt::format("keep a network namespace at '{}'", ns));
  }
  void clear() const {
    (void)::umount2(ns.c_str(), MNT_DETACH);
    (void)::unlink(ns.c_str());
    (void)::unlink(result.c_str());
  }
  const std::string ns;
  const std::string result;
};

class CniRoom final : public NetworkRoom {
 public:
  CniRoom(CniPlugins plugins, CniTarget target, Place place)
      : plugins_(std::move(plugins)), target_(std::move(target)), place_(std::move(place)) {}
  ~CniRoom() override {
    if (!result_.empty()) {
      if (Status gone = plugins_.remove(target_, result_, {}); !gone.ok())
        log_warn("take a step's network down: {}", message_of(gone));
    }
    place_.clear();
  }
  Status set_up(std::stop_token stop) {
    KILN_ASSIGN_OR_RETURN(ns, host::make_network_namespace());
    KILN_RETURN_IF_ERROR(place_.bind(ns.get()));
    KILN_ASSIGN_OR_RETURN(result_, plugins_.add(target_, std::move(stop)));
    interface = host_interface_of(result_);
    return host::write_file(place_.result, result_);
  }

 private:
  const CniPlugins plugins_;
  const CniTarget target_;
  const Place place_;
  std::string result_;
};

class CniMaker final : public RoomMaker {
 public:
  CniMaker(CniOptions options, CniPlugins plugins) : options_(std::move(options)), plugins_(std::move(plugins)) {}

  Result<std::unique_ptr<NetworkRoom>> make(const std::string& hostname, std::stop_token stop) override {
    const std::string id = new_id();
    Place place(options_.state_folder, id);
    CniTarget target{id, place.ns, hostname};
    auto room = std::make_unique<CniRoom>(plugins_, std::move(target), std::move(place));
    KILN_RETURN_IF_ERROR(room->set_up(std::move(stop)));
    return std::unique_ptr<NetworkRoom>(std::move(room));
  }

  // What a killed daemon left behind.
  void sweep() const {
    Result<std::vector<std::string>> names = host::list_dir(options_.state_folder);
    if (!names.ok()) return;
    for (const std::string& name : *names) {
      if (!name.ends_with(kNamespaceEnding)) continue;
      const std::string id = name.substr(0, name.size() - kNamespaceEnding.size());
      const Place place(options_.state_folder, id);
      Result<std::string> result = host::read_file(place.result, 1 << 20);
      (void)plugins_.remove({id, place.ns, ""}, result.ok() ? *result : "", {});
      place.clear();
    }
  }

 private:
  const CniOptions options_;
  const CniPlugins plugins_;
};

// Plug-ins that make their bridge may trip over each other when several daemons start at once.
class InitLock {
 public:
  InitLock() {
    const char* path = std::getenv("BUILDKIT_CNI_INIT_LOCK_PATH");
    if (path == nullptr || *path == '\0') return;
    file_ = host::Fd(::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (file_.valid()) (void)::flock(file_.get(), LOCK_EX);
  }

 private:
  host::Fd file_;  // closing unlocks
};

}  // namespace

Result<std::shared_ptr<Network>> open_cni_network(CniOptions options) {
  KILN_ASSIGN_OR_RETURN(CniPlugins plugins, CniPlugins::load(options.config, options.program_folder));
  KILN_RETURN_IF_ERROR(host::make_dirs(options.state_folder, 0700));
  const NetworkPoolOptions pool{.size = options.pool_size};
  auto maker = std::make_unique<CniMaker>(std::move(options), std::move(plugins));
  const InitLock lock;
  maker->sweep();
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<NetworkRoom> first, maker->make("", {}));
  return make_network_pool(std::move(maker), pool, std::move(first));
}

}  // namespace kiln::sandbox
