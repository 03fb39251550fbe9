#include "sandbox/child.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace kiln::sandbox {
namespace {

// Everything from here to start_child runs in the child, or might: raw system calls only. glibc's
// setuid family would signal the daemon's other threads, and its stdio would take their locks.
//
// errno is the daemon thread's own (shared memory, same thread pointer); it sleeps meanwhile.

struct Life {
  const ChildPlan* plan;
  ChildFailure* failure;
};

[[noreturn]] void die(const Life& life, ChildStage stage, std::size_t step = 0) {
  life.failure->stage = stage;
  life.failure->error = errno;
  life.failure->step = step;
  for (;;) ::syscall(SYS_exit_group, 127);
}

int open_inside(int root, const char* path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
}

void reset_signals() {
  struct KernelAction {
    void* handler;
    unsigned long flags;
    void* restorer;
    std::uint64_t mask;
  };
  const KernelAction standard{};
  for (int number = 1; number < 65; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::syscall(SYS_rt_sigaction, number, &standard, nullptr, 8);
  }
}

int attach_at(int mount, int target) {
  return static_cast<int>(
      ::syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int clone_mount(int at) {
  return static_cast<int>(::syscall(SYS_open_tree, at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
}

int set_attributes(int mount, std::uint64_t set) {
  mount_attr attributes{};
  attributes.attr_set = set;
  return static_cast<int>(::syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
}

int mount_new(const SetupStep& step, int target) {
  const int context = static_cast<int>(::syscall(SYS_fsopen, step.type, FSOPEN_CLOEXEC));
  if (context < 0) return -1;
  for (const char* const* option = step.options; option != nullptr && *option != nullptr; option += 2) {
    const bool flag = option[1][0] == '\0';
    if (::syscall(SYS_fsconfig, context, flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, option[0],
                  flag ? nullptr : option[1], 0) != 0) {
      return -1;
    }
  }
  if (::syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return -1;
  const int mount = static_cast<int>(::syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, step.attributes));
  if (mount < 0 || attach_at(mount, target) != 0) return -1;
  ::close(context);
  ::close(mount);
  return 0;
}

int cover(const Life& life, int target) {
  struct stat info;
  if (::syscall(SYS_newfstatat, target, "", &info, AT_EMPTY_PATH) != 0) return -1;
  int cover = -1;
  if (S_ISDIR(info.st_mode)) {
    cover = static_cast<int>(
        ::syscall(SYS_open_tree, AT_FDCWD, life.plan->empty_folder, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (cover >= 0) set_attributes(cover, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  } else {
    const int null = open_inside(life.plan->root_fd, "dev/null");
    if (null < 0) return -1;
    cover = clone_mount(null);
    ::close(null);
  }
  if (cover < 0 || attach_at(cover, target) != 0) return -1;
  ::close(cover);
  return 0;
}

int bind_readonly(int target) {
  const int self = static_cast<int>(
      ::syscall(SYS_open_tree, target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  if (self < 0 || set_attributes(self, MOUNT_ATTR_RDONLY) != 0 || attach_at(self, target) != 0) return -1;
  ::close(self);
  return 0;
}

int take_step(const Life& life, const SetupStep& step) {
  if (step.act == SetupStep::Act::kSealRoot) return set_attributes(life.plan->root_fd, MOUNT_ATTR_RDONLY);
  const int target = open_inside(life.plan->root_fd, step.path);
  if (target < 0) {
    const bool may_lack = step.act == SetupStep::Act::kMask || step.act == SetupStep::Act::kReadonly;
    return may_lack && (errno == ENOENT || errno == ENOTDIR) ? 0 : -1;
  }
  int failed = -1;
  switch (step.act) {
    case SetupStep::Act::kAttach: failed = attach_at(step.fd, target); break;
    case SetupStep::Act::kMountNew: failed = mount_new(step, target); break;
    case SetupStep::Act::kReadonly: failed = bind_readonly(target); break;
    case SetupStep::Act::kMask: failed = cover(life, target); break;
    case SetupStep::Act::kSealRoot: break;
  }
  if (failed == 0) ::close(target);
  return failed;
}

void raise_loopback() {
  const int wire = static_cast<int>(::syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (wire < 0) return;
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ::ioctl(wire, SIOCSIFFLAGS, &request);
  ::close(wire);
}

void enter_surroundings(const Life& life) {
  const ChildPlan& plan = *life.plan;
  for (std::size_t i = 0; i < plan.cgroup_count; ++i) {
    if (::syscall(SYS_write, plan.cgroup_fds[i], "0", 1) < 0) die(life, ChildStage::kCgroup, i);
  }
  if (plan.new_cgroup_namespace && ::syscall(SYS_unshare, CLONE_NEWCGROUP) != 0) die(life, ChildStage::kCgroup);
  if (plan.network_fd >= 0 && ::syscall(SYS_setns, plan.network_fd, CLONE_NEWNET) != 0) die(life, ChildStage::kNetwork);
  if (plan.loopback_up) raise_loopback();
  if (plan.hostname != nullptr) {
    std::size_t length = 0;
    while (plan.hostname[length] != '\0') ++length;
    if (::syscall(SYS_sethostname, plan.hostname, length) != 0) die(life, ChildStage::kHostname);
  }
}

void enter_tree(const Life& life) {
  const ChildPlan& plan = *life.plan;
  mount_attr quiet{};
  quiet.propagation = 1u << 18;  // MS_PRIVATE: nothing from or to the host any more
  if (!plan.empty_root && ::syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &quiet, sizeof quiet) != 0) {
    die(life, ChildStage::kRoot);
  }
  // Over "/" itself: every namespace has one, and it goes from sight with the pivot.
  if (::syscall(SYS_move_mount, plan.root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    die(life, ChildStage::kRoot);
  if (::syscall(SYS_fchdir, plan.root_fd) != 0) die(life, ChildStage::kRoot);
  for (std::size_t i = 0; i < plan.step_count; ++i) {
    if (take_step(life, plan.steps[i]) != 0) die(life, ChildStage::kMounts, i);
  }
  if (plan.empty_root) {
    // The tree is the topmost mount of "/", so it is the namespace's root for everyone. Who climbs out
    // of a chroot finds the empty, read-only tree below, and the host's nowhere.
    if (::syscall(SYS_chroot, ".") != 0 || ::syscall(SYS_chdir, "/") != 0) die(life, ChildStage::kPivot);
    return;
  }
  if (::syscall(SYS_pivot_root, ".", ".") != 0) die(life, ChildStage::kPivot);
  if (::syscall(SYS_umount2, ".", 2 /* MNT_DETACH */) != 0) die(life, ChildStage::kPivot);
  if (::syscall(SYS_chdir, "/") != 0) die(life, ChildStage::kPivot);
}

// For runtimes that stumble over a file system they need not see.
void cover_folder(const Life& life) {
  mount_attr quiet{};
  quiet.propagation = 1u << 18;
  if (::syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &quiet, sizeof quiet) != 0)
    die(life, ChildStage::kRoot);
  if (::syscall(SYS_mount, "tmpfs", life.plan->cover, "tmpfs", 0, nullptr) != 0) die(life, ChildStage::kRoot);
}

void take_stdio(const Life& life) {
  const ChildPlan& plan = *life.plan;
  if (::syscall(SYS_setsid) < 0) die(life, ChildStage::kSession);
  if (plan.terminal && ::ioctl(plan.stdio[0], TIOCSCTTY, 0) != 0) die(life, ChildStage::kSession);
  for (int i = 0; i < 3; ++i) {
    if (::syscall(SYS_dup3, plan.stdio[i], i, 0) < 0) die(life, ChildStage::kStdio);
  }
  if (::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) != 0) die(life, ChildStage::kStdio);
}

void drop_privileges(const Life& life) {
  const ChildPlan& plan = *life.plan;
  // Installed while we may: there is no no_new_privs, as set-uid programs have to work.
  if (plan.filter != nullptr && ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan.filter) != 0) {
    die(life, ChildStage::kFilter);
  }
  for (int bit = 0; bit < 64; ++bit) {
    if (plan.capabilities >> bit & 1) continue;
    if (::syscall(SYS_prctl, PR_CAPBSET_DROP, bit, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break;  // past the kernel's last capability
    die(life, ChildStage::kCapabilities);
  }
  if (plan.keep_capabilities) ::syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
  if (::syscall(SYS_setgroups, plan.group_count, plan.groups) != 0) die(life, ChildStage::kUser);
  if (::syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) != 0) die(life, ChildStage::kUser);
  if (::syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) != 0) die(life, ChildStage::kUser);
  if (plan.uid != 0 && !plan.keep_capabilities) return;  // the kernel has taken them all
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  for (int half = 0; half < 2; ++half) {
    const auto bits = static_cast<std::uint32_t>(plan.capabilities >> (32 * half));
    sets[half].effective = sets[half].permitted = bits;
    sets[half].inheritable = plan.keep_capabilities ? bits : 0;
  }
  if (::syscall(SYS_capset, &header, sets) != 0) die(life, ChildStage::kCapabilities);
  for (int bit = 0; plan.keep_capabilities && bit < 64; ++bit) {
    if (plan.capabilities >> bit & 1) ::syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0);
  }
}

void settle(const Life& life) {
  const ChildPlan& plan = *life.plan;
  if (plan.reset_oom_score) {
    const int file =
        static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0));
    if (file >= 0) ::syscall(SYS_write, file, "0", 1);
  }
  for (std::size_t i = 0; i < plan.limit_count; ++i) {
    if (::syscall(SYS_prlimit64, 0, plan.limits[i].resource, &plan.limits[i].value, nullptr) != 0) {
      die(life, ChildStage::kLimits, i);
    }
  }
  ::syscall(SYS_umask, 0022);
  // A keyring of its own, or the step could read the daemon's.
  ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr, 0, 0, 0);
}

[[noreturn]] void run_program(const Life& life) {
  const ChildPlan& plan = *life.plan;
  const std::uint64_t none = 0;
  // After the change of user, which clears it.
  ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, 8);
  int error = ENOENT;
  for (const char* const* path = plan.candidates; *path != nullptr; ++path) {
    ::syscall(SYS_execve, *path, plan.argv, plan.envp);
    if (errno == EACCES) {
      error = EACCES;  // told if nothing better is found further on
    } else if (errno != ENOENT && errno != ENOTDIR) {
      error = errno;
      break;
    }
  }
  errno = error;
  die(life, ChildStage::kProgram);
}

[[noreturn]] void live(const Life& life) {
  const ChildPlan& plan = *life.plan;
  reset_signals();
  enter_surroundings(life);
  if (plan.root_fd >= 0) enter_tree(life);
  if (plan.cover != nullptr) cover_folder(life);
  take_stdio(life);
  settle(life);
  // Once with all rights, once as the user: either may be the one who can.
  const bool there = ::syscall(SYS_chdir, plan.cwd) == 0;
  drop_privileges(life);
  if (!there && ::syscall(SYS_chdir, plan.cwd) != 0) die(life, ChildStage::kDirectory);
  run_program(life);
}

// The instruction itself, not libc's function: a child that shares the stack would overwrite the
// address that function returns to.
inline __attribute__((always_inline)) long clone3_inline(clone_args* arguments) {
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(static_cast<long>(SYS_clone3)), "D"(arguments), "S"(sizeof *arguments)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long number __asm__("x8") = SYS_clone3;
  register long first __asm__("x0") = reinterpret_cast<long>(arguments);
  register long second __asm__("x1") = sizeof *arguments;
  __asm__ volatile("svc 0" : "+r"(first) : "r"(number), "r"(second) : "memory");
  return first;
#else
#error "the native runner needs clone3 for this architecture"
#endif
}

// As vfork: the child uses the stack below this frame while the caller sleeps, and never returns from
// here. noinline keeps the caller's frame out of the child's way. Gives the pid or -errno.
__attribute__((noinline)) long clone_and_live(clone_args* arguments, const Life& life) {
  const long pid = clone3_inline(arguments);
  if (pid == 0) live(life);
  return pid;
}

// exec into a container: a first child joins the namespaces; its own child, born inside, becomes ours
// by CLONE_PARENT. The first shares our descriptor table, so that the pidfd appears here.
struct Joining {
  const Life* life;  // of the inner child
  const int* cgroup_fds;
  std::size_t cgroup_count;
  clone_args* inner;
  long inner_pid;
};

[[noreturn]] void join_and_clone(Joining& joining) {
  constexpr int kAll = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
  for (std::size_t i = 0; i < joining.cgroup_count; ++i) {
    if (::syscall(SYS_write, joining.cgroup_fds[i], "0", 1) < 0) die(*joining.life, ChildStage::kCgroup, i);
  }
  if (::syscall(SYS_setns, joining.life->plan->join_pidfd, kAll) != 0) die(*joining.life, ChildStage::kJoin);
  joining.inner_pid = clone_and_live(joining.inner, *joining.life);
  for (;;) ::syscall(SYS_exit_group, 0);
}

__attribute__((noinline)) long clone_and_join(clone_args* arguments, Joining& joining) {
  const long pid = clone3_inline(arguments);
  if (pid == 0) join_and_clone(joining);
  return pid;
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
  }
}

// Starts the joiner and gives the inner child's pid, or -errno.
long start_joining(const ChildPlan& plan, clone_args inner, ChildFailure& failure) {
  ChildPlan inside = plan;
  inside.cgroup_count = 0;  // inherited from the joiner
  const Life life{&inside, &failure};
  inner.flags |= CLONE_PARENT;
  inner.exit_signal = 0;  // CLONE_PARENT takes the joiner's
  clone_args outer{};
  outer.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES;
  outer.exit_signal = SIGCHLD;
  Joining joining{&life, plan.cgroup_fds, plan.cgroup_count, &inner, -ECHILD};
  const long joiner = clone_and_join(&outer, joining);
  if (joiner < 0) return joiner;
  reap(static_cast<pid_t>(joiner));
  return joining.inner_pid;
}

}  // namespace

Result<StartedChild> start_child(const ChildPlan& plan, ChildFailure& failure) {
  failure = {};
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  const bool joining = plan.join_pidfd >= 0;
  if (!joining) arguments.flags |= plan.namespaces;
  if (plan.clone_cgroup_fd >= 0 && !joining) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(plan.clone_cgroup_fd);
  }
  // No handler of the daemon's may run in the child.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const Life life{&plan, &failure};
  const long pid = joining ? start_joining(plan, arguments, failure) : clone_and_live(&arguments, life);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);

  host::Fd held(pidfd);
  if (failure.failed()) {
    if (pid > 0) reap(static_cast<pid_t>(pid));
    return engine_error("the step's process failed before its program");
  }
  if (pid < 0) return errno_error(static_cast<int>(-pid), "start the step's process");
  return StartedChild{static_cast<pid_t>(pid), std::move(held)};
}

}  // namespace kiln::sandbox
