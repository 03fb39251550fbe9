#include "sandbox/cgroup_pool.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/id.h"
#include "base/log.h"
#include "sandbox/security.h"

namespace kiln::sandbox {
namespace {

constexpr std::size_t kReadyMax = 4;
constexpr std::chrono::milliseconds kRemoveWait{2000};

// What systemd's naming and plain paths have in common: a step's group is the leaf.
std::string group_path(const std::string& parent, const std::string& id) {
  if (parent.ends_with(':') && parent.find(".slice") != std::string::npos) {
    return "/" + parent.substr(0, parent.size() - 1) + "/" + id + ".scope";
  }
  std::string path = "/" + parent + "/buildkit/" + id;
  for (std::size_t at; (at = path.find("//")) != std::string::npos;) path.erase(at, 1);
  return path;
}

host::CgroupLimits limits_of(const ResourceLimits& limits) {
  return {.memory_bytes = limits.memory_bytes,
          .memory_swap_bytes = limits.memory_swap_bytes,
          .cpu_shares = limits.cpu_shares,
          .cpu_period_us = limits.cpu_period_us,
          .cpu_quota_us = limits.cpu_quota_us,
          .cpuset_cpus = limits.cpuset_cpus,
          .cpuset_mems = limits.cpuset_mems,
          .pids_max = limits.pids_max};
}

// Groups carry our pid, so that a later daemon knows those whose owner was killed.
std::string owned(const std::string& id) { return fmt::format("{}p{}", ::getpid(), id); }

// Whether the name is a group's of a process that lives no more.
bool is_orphan(std::string_view name) {
  long pid = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc() || pid <= 0 || end == name.data() + name.size() || *end != 'p') return false;
  return ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH;
}

bool is_plain(const ContainerSpec& container) {
  return container.cgroup_parent.empty() && container.devices.empty() && container.security == SecurityMode::kSandbox;
}

}  // namespace

CgroupPool::CgroupPool(host::CgroupTree tree, std::string default_parent)
    : tree_(std::move(tree)), default_parent_(std::move(default_parent)), worker_([this] { work(); }) {}

CgroupPool::~CgroupPool() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
}

std::string CgroupPool::path_for(const ContainerSpec& container) const {
  return group_path(container.cgroup_parent.empty() ? default_parent_ : container.cgroup_parent,
                    owned(container.id.empty() ? new_id() : container.id));
}

Result<host::Cgroup> CgroupPool::make(const std::string& path, const ContainerSpec& container) const {
  // A privileged step may run containers of its own, which expect to find every controller.
  const bool all = container.security == SecurityMode::kInsecure;
  KILN_ASSIGN_OR_RETURN(host::Cgroup group,
                        tree_.create(path, all ? host::CgroupScope::kAll : host::CgroupScope::kNeeded));
  if (Status status = group.set_devices(device_rules(container)); !status.ok()) {
    // Inside another container the list may be fixed already; what it forbids stays forbidden.
    log_debug("device rules not set: {}", message_of(status));
  }
  return group;
}

Result<host::Cgroup> CgroupPool::take(const ContainerSpec& container) {
  host::Cgroup group;
  {
    std::lock_guard lock(mutex_);
    if (unusable_) return group;
    if (is_plain(container)) {
      wanted_ = kReadyMax;
      if (!ready_.empty()) {
        group = std::move(ready_.front());
        ready_.pop_front();
      }
      wake_.notify_all();
    }
  }
  if (!group.valid()) {
    Result<host::Cgroup> made = make(path_for(container), container);
    if (!made.ok()) {
      if (made.status().code() != Code::kPermissionDenied && errno_of(made.status()).value_or(0) != EROFS) {
        return made.status();
      }
      log_warn("steps run without control groups of their own: {}", message_of(made.status()));
      std::lock_guard lock(mutex_);
      unusable_ = true;
      return group;
    }
    group = std::move(*made);
  }
  if (!container.limits.empty()) KILN_RETURN_IF_ERROR(group.limit(limits_of(container.limits)));
  return group;
}

Status CgroupPool::limit(host::Cgroup& group, const ResourceLimits& limits) { return group.limit(limits_of(limits)); }

void CgroupPool::give_back(host::Cgroup group) {
  if (!group.valid()) return;
  std::lock_guard lock(mutex_);
  used_.push_back(std::move(group));
  wake_.notify_all();
}

void CgroupPool::sweep() {
  const std::string parent = path_for(ContainerSpec{});
  tree_.remove_children(parent.substr(0, parent.rfind('/')), is_orphan);
}

void CgroupPool::work() {
  sweep();
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return ending_ || !used_.empty() || (ready_.size() < wanted_ && !unusable_); });
    if (ending_) break;
    if (ready_.size() < wanted_ && !unusable_) {
      lock.unlock();
      const ContainerSpec plain;
      Result<host::Cgroup> group = make(path_for(plain), plain);
      lock.lock();
      if (group.ok()) {
        ready_.push_back(std::move(*group));
      } else {
        wanted_ = 0;  // take() finds out why and says so
      }
      continue;
    }
    std::vector<host::Cgroup> used;
    used.swap(used_);
    lock.unlock();
    for (host::Cgroup& group : used) {
      if (Status status = group.remove(kRemoveWait); !status.ok()) log_warn("{}", message_of(status));
    }
    lock.lock();
  }
  for (host::Cgroup& group : used_) (void)group.remove(kRemoveWait);
  for (host::Cgroup& group : ready_) (void)group.remove(kRemoveWait);
}

}  // namespace kiln::sandbox
