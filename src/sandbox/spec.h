// What to run and where: plain data, no I/O. A ContainerSpec is a tree with mounts, namespaces and
// limits; a ProcessSpec is one process in it. Both speak host paths only; no store, no session, no
// wire type appears here.
//
//   ContainerSpec box{.id = new_id(), .root = {"overlay", "overlay", {"lowerdir=…", "upperdir=…"}}};
//   ProcessSpec sh{.args = {"/bin/sh", "-c", "make"}, .env = {"PATH=/bin"}, .cwd = "/src"};
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/mount.h"

namespace kiln::sandbox {

class NetworkLease;  // sandbox/network.h
struct StepSamples;  // sandbox/step_samples.h

// A file whose contents come with the request and must not lie on a disk: a secret. Shown read-only
// from memory, not executable unless the mode says so.
struct InlineFile {
  std::string bytes;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0400;
};

// One mount of a container: what (host/mount.h; "bind", "overlay", "tmpfs", …), which path inside it,
// and where in the container.
struct Mount {
  host::MountSpec what;
  std::string target;    // absolute path in the container
  std::string selector;  // path inside the source, resolved confined to it; "" or "/" is all of it
  std::shared_ptr<const InlineFile> file = nullptr;  // instead of `what`
  // Nothing of this mount may be left when run returns: its tree is mounted anew right afterwards.
  bool exclusive = false;
};

enum class NetworkMode {
  kDefault,  // what the daemon was configured with: bridge, or host when there is none
  kHost,     // the daemon's own network
  kNone,     // loopback only
};

enum class SecurityMode {
  kSandbox,   // default capabilities, seccomp, masked and read-only paths, device rules
  kInsecure,  // all of the daemon's capabilities, no seccomp, writable /sys, all devices
};

// Zero or empty means unlimited. The fields are those of the client's LinuxResources.
struct ResourceLimits {
  std::int64_t memory_bytes = 0;
  std::int64_t memory_swap_bytes = 0;  // memory and swap together, as Docker counts; -1 unlimited
  std::uint64_t cpu_shares = 0;
  std::uint64_t cpu_period_us = 0;
  std::int64_t cpu_quota_us = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::int64_t pids_max = 0;
  bool empty() const {
    return memory_bytes == 0 && memory_swap_bytes == 0 && cpu_shares == 0 && cpu_period_us == 0 && cpu_quota_us == 0 &&
           cpuset_cpus.empty() && cpuset_mems.empty() && pids_max == 0;
  }
};

// A device node to make in /dev, beyond the usual ones.
struct Device {
  std::string path;  // in the container
  char type = 'c';   // 'c' or 'b'
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t mode = 0666;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string access = "rwm";  // for the device rules of the cgroup
};

// "ADDRESS HOST" lines appended to /etc/hosts.
struct ExtraHost {
  std::string host;
  std::string ip;
};

struct ContainerSpec {
  std::string id;  // letters and digits; also the name of the cgroup
  host::MountSpec root;
  bool root_readonly = false;  // the process sees "/" read-only; stubs are still made beneath
  // Parents before children. Missing mount points are made, and removed afterwards when still empty.
  std::vector<Mount> mounts;
  // Also removes missing parents made for mount points, as far as they are empty.
  bool remove_mount_stubs_recursive = false;
  std::string hostname;  // empty: "buildkitsandbox"
  std::vector<ExtraHost> extra_hosts;
  NetworkMode network = NetworkMode::kDefault;
  std::shared_ptr<const NetworkLease> own_network;  // instead of what `network` says
  std::string trusted_certificate;                  // PEM; among the tree's authorities while the first process runs
  SecurityMode security = SecurityMode::kSandbox;
  std::string cgroup_parent;  // empty: the daemon's default; "x.slice:" keeps systemd's form
  ResourceLimits limits;
  std::uint64_t shm_bytes = 64u << 20;
  std::vector<Device> devices;
  bool sample_usage = false;  // ExitStatus::samples is wanted
};

struct Ulimit {
  std::string name;  // lower case without RLIMIT_: "nofile"
  std::int64_t soft = 0;
  std::int64_t hard = 0;
};

struct ProcessSpec {
  std::vector<std::string> args;
  std::vector<std::string> env;  // NAME=VALUE; a later one of the same name wins
  std::string cwd = "/";         // made when missing, owned by the user
  // "", "uid", "uid:gid", "name", "name:group"; looked up in the tree's /etc/passwd and /etc/group.
  std::string user;
  bool tty = false;
  std::vector<Ulimit> ulimits;
};

// What a step cost, from its cgroup. Zero where the kernel does not say.
struct ResourceUsage {
  std::uint64_t cpu_total_ns = 0;
  std::uint64_t cpu_user_ns = 0;
  std::uint64_t cpu_system_ns = 0;
  std::uint64_t memory_peak_bytes = 0;
  std::uint64_t io_read_bytes = 0;
  std::uint64_t io_write_bytes = 0;
  std::uint64_t pids_peak = 0;
};

struct ExitStatus {
  int code = 0;             // 128 + signal when a signal ended it
  bool oom_killed = false;  // the kernel killed something of the container for want of memory
  ResourceUsage usage;
  std::shared_ptr<const StepSamples> samples = nullptr;  // null unless asked for, or without a cgroup
};

}  // namespace kiln::sandbox
