// Control groups of version 1, version 2 and the two side by side (hybrid), behind one type.
//
//   auto tree = CgroupTree::probe();
//   KILN_ASSIGN_OR_RETURN(Cgroup box, tree.create("/buildkit/abc"));
//   KILN_RETURN_IF_ERROR(box.limit({.memory_bytes = 1 << 30}));
//   write "0" to each of box.attach_fds() from the process that goes in
//   box.remove();
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::host {

enum class CgroupLayout { kNone, kV1, kV2, kHybrid };

// Zero means: leave as it is.
struct CgroupLimits {
  std::int64_t memory_bytes = 0;
  std::int64_t memory_swap_bytes = 0;  // memory plus swap; -1 unlimited
  std::uint64_t cpu_shares = 0;
  std::uint64_t cpu_period_us = 0;
  std::int64_t cpu_quota_us = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::int64_t pids_max = 0;
};

struct CgroupUsage {
  std::uint64_t cpu_total_ns = 0, cpu_user_ns = 0, cpu_system_ns = 0;
  std::uint64_t memory_peak_bytes = 0, memory_current_bytes = 0;
  std::uint64_t io_read_bytes = 0, io_write_bytes = 0;
  std::uint64_t pids_current = 0, pids_peak = 0;
  std::uint64_t oom_kills = 0;
};

// One rule of the device list; -1 is any number. Rules are applied in order, the last match wins.
struct DeviceRule {
  bool allow = true;
  char type = 'a';  // 'a', 'b', 'c'
  int major = -1;
  int minor = -1;
  std::string access = "rwm";
};

// kNeeded leaves out hierarchies of version 1 that only limit, until limit() needs them.
enum class CgroupScope { kNeeded, kAll };

// One group in every hierarchy that was probed (of version 1 those that only limit are joined by
// limit() when they have something to limit). Owned; the destructor removes what is left without
// waiting. One thread at a time, except read_usage.
class Cgroup {
 public:
  Cgroup();
  Cgroup(Cgroup&&) noexcept;
  Cgroup& operator=(Cgroup&&) noexcept;
  ~Cgroup();

  bool valid() const { return state_ != nullptr; }
  const std::string& path() const;  // "/buildkit/abc"
  // The group's folder of each hierarchy, with the name the hierarchy is mounted under ("memory",
  // "cpu,cpuacct"; "" for version 2).
  std::vector<std::pair<std::string, std::string>> folders() const;

  Status limit(const CgroupLimits& limits);
  Status set_devices(const std::vector<DeviceRule>& rules);
  // Open for writing "0": the single-threaded process that writes it moves in. Owned by the group.
  const std::vector<int>& attach_fds() const;
  // The folder of version 2 for CLONE_INTO_CGROUP when version 2 is all there is; else -1.
  int clone_fd() const;
  Status attach(int pid);
  Status kill_all();  // SIGKILL to every process inside, on version 2 in one write
  CgroupUsage read_usage() const;
  // Removes the folders, trying again while the kernel still says busy; gives up after `wait`.
  Status remove(std::chrono::milliseconds wait);

 private:
  friend class CgroupTree;
  struct State;
  std::unique_ptr<State> state_;
};

// What is mounted under /sys/fs/cgroup. Immutable; any thread.
class CgroupTree {
 public:
  static CgroupTree probe(const std::string& mount_root = "/sys/fs/cgroup");
  CgroupLayout layout() const;
  // Makes the group with its parents, controllers enabled on the way. PermissionDenied when we may
  // not (rootless): callers go on without.
  Result<Cgroup> create(const std::string& path, CgroupScope scope = CgroupScope::kNeeded) const;
  // Removes the empty groups right below `path` whose names `chosen` accepts, in every hierarchy.
  void remove_children(const std::string& path, const std::function<bool(std::string_view)>& chosen) const;
  // Moves every process of the root group into /init and enables the controllers, so that groups
  // with processes can stand below the root (needed inside a container with version 2).
  Status make_root_leafless() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace kiln::host
