#include "sandbox/running.h"

#include <unistd.h>

namespace kiln::sandbox {

RunningContainer::~RunningContainer() {
  for (int fd : cgroup_fds) ::close(fd);
  if (pidfd >= 0) ::close(pidfd);
}

Status RunningContainers::announce(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (!containers_.emplace(id, nullptr).second) {
    return make_error(Fault::kEngine, Code::kAlreadyExists, fmt::format("container '{}' exists already", id));
  }
  return ok();
}

void RunningContainers::started(const std::string& id, std::shared_ptr<const RunningContainer> container) {
  std::lock_guard lock(mutex_);
  containers_[id] = std::move(container);
  changed_.notify_all();
}

void RunningContainers::ended(const std::string& id) {
  std::lock_guard lock(mutex_);
  containers_.erase(id);
  changed_.notify_all();
}

Result<std::shared_ptr<const RunningContainer>> RunningContainers::find(const std::string& id, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<const RunningContainer> found;
  const bool settled = changed_.wait(lock, stop, [&] {
    auto at = containers_.find(id);
    if (at == containers_.end()) return true;
    found = at->second;
    return found != nullptr;
  });
  if (!settled) return cancelled();
  if (!found) return user_error(Code::kNotFound, fmt::format("container {} not found", id));
  return found;
}

}  // namespace kiln::sandbox
