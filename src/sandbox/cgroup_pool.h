// Cgroups for steps, made ahead of time and removed after the fact by a thread of its own, because
// making one in every hierarchy costs as much as the rest of a step's start.
//
//   KILN_ASSIGN_OR_RETURN(host::Cgroup group, pool.take(container));
//   … run … ; pool.give_back(std::move(group));
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "host/cgroup.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// Any thread. The destructor removes everything.
class CgroupPool {
 public:
  CgroupPool(host::CgroupTree tree, std::string default_parent);
  ~CgroupPool();

  // A group with the container's limits and device rules. An invalid group (not an error) when the
  // machine lets us make none, as without privileges; said once in the log.
  Result<host::Cgroup> take(const ContainerSpec& container);
  static Status limit(host::Cgroup& group, const ResourceLimits& limits);
  // Removed soon, whatever is still dying inside.
  void give_back(host::Cgroup group);
  host::CgroupLayout layout() const { return tree_.layout(); }

 private:
  void work();
  void sweep();
  std::string path_for(const ContainerSpec& container) const;
  Result<host::Cgroup> make(const std::string& path, const ContainerSpec& container) const;

  const host::CgroupTree tree_;
  const std::string default_parent_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<host::Cgroup> ready_;  // in the default parent, with the sandbox mode's devices
  std::vector<host::Cgroup> used_;
  std::size_t wanted_ = 0;  // grows with the first step, so that an idle daemon makes none
  bool unusable_ = false;
  bool ending_ = false;
  std::jthread worker_;
};

}  // namespace kiln::sandbox
