// The life of a native step between clone and execve. The child shares the daemon's memory (vfork),
// so everything it needs is laid out beforehand in a ChildPlan and it does nothing but system calls:
// no allocation, no locks, no library state.
//
//   ChildPlan plan; … fill …
//   KILN_ASSIGN_OR_RETURN(Started child, start_child(plan));   // the program runs, or an error
#pragma once

#include <linux/filter.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "host/fd.h"
#include "sandbox/capability.h"

namespace kiln::sandbox {

// One thing to do in the new mount namespace before the tree becomes "/". Paths are inside the tree.
struct SetupStep {
  enum class Act : std::uint8_t {
    kAttach,    // the mount `fd` goes to `path`
    kMountNew,  // a fresh file system `type` (its namespaces are the child's) goes to `path`
    kReadonly,  // `path` is bound on itself read-only; skipped when missing
    kMask,      // `path` is covered; skipped when missing
    kSealRoot,  // the tree itself becomes read-only
  };
  Act act;
  int fd = -1;
  const char* path = nullptr;
  const char* type = nullptr;
  const char* const* options = nullptr;  // kMountNew: name, value, …, null; an empty value is a flag
  std::uint64_t attributes = 0;          // kMountNew: MOUNT_ATTR_*
};

struct ChildLimit {
  int resource;
  rlimit64 value;
};

// Borrowed pointers and descriptors all the way; alive until start_child returns.
struct ChildPlan {
  // Where it runs.
  std::uint64_t namespaces = 0;  // CLONE_NEW*
  int clone_cgroup_fd = -1;      // version 2
  const int* cgroup_fds = nullptr;
  std::size_t cgroup_count = 0;
  bool new_cgroup_namespace = false;
  int network_fd = -1;  // namespace to join
  int join_pidfd = -1;  // exec: all namespaces of this process instead of new ones
  bool loopback_up = false;
  const char* hostname = nullptr;

  // The tree.
  int root_fd = -1;
  bool empty_root = false;  // "/" holds nothing: the tree covers it, and nothing need be detached
  const SetupStep* steps = nullptr;
  std::size_t step_count = 0;
  const char* cover = nullptr;         // without a tree: this folder of the host is covered in a namespace of its own
  const char* empty_folder = nullptr;  // on the host; covers masked directories

  // The process.
  int stdio[3] = {-1, -1, -1};
  bool terminal = false;
  const char* const* argv = nullptr;
  const char* const* envp = nullptr;
  const char* const* candidates = nullptr;
  const char* cwd = "/";
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  const gid_t* groups = nullptr;
  std::size_t group_count = 0;
  const ChildLimit* limits = nullptr;
  std::size_t limit_count = 0;
  bool keep_capabilities = false;  // insecure: ambient, so that other users keep them too
  CapabilitySet capabilities = 0;
  const sock_fprog* filter = nullptr;
  bool reset_oom_score = false;
};

// Where in its life a child failed, for the sentence in the error.
enum class ChildStage : int {
  kNone,
  kCgroup,
  kJoin,
  kNetwork,
  kHostname,
  kMounts,
  kRoot,
  kPivot,
  kSession,
  kStdio,
  kLimits,
  kFilter,
  kCapabilities,
  kUser,
  kDirectory,
  kProgram,
};
struct ChildFailure {
  ChildStage stage = ChildStage::kNone;
  int error = 0;
  std::size_t step = 0;  // of kMounts
  bool failed() const { return stage != ChildStage::kNone; }
};

struct StartedChild {
  pid_t pid = -1;
  host::Fd pidfd;
};

// Blocks until the child has become the program or has failed; a failed child is reaped. The calling
// thread must live as long as the child: the kernel kills the child when the thread ends.
Result<StartedChild> start_child(const ChildPlan& plan, ChildFailure& failure);

}  // namespace kiln::sandbox
