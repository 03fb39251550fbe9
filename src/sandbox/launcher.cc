#include "sandbox/launcher.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "host/mount.h"

namespace kiln::sandbox {

struct LaunchThread {
  enum class Stage { kPreparing, kReady, kFailed, kAsked, kStarted, kDone };
  std::mutex mutex;
  std::condition_variable changed;
  Stage stage = Stage::kPreparing;
  host::Cgroup cgroup;
  const ChildPlan* plan = nullptr;
  ChildFailure* failure = nullptr;
  Result<StartedChild> child = engine_error("not started");
  host::Fd host_mounts;  // the way back
  bool left = false;     // the child's mounts are not held any more
  std::jthread thread;

  void set(Stage next) {
    std::lock_guard lock(mutex);
    stage = next;
    changed.notify_all();
  }
};

namespace {

using Stage = LaunchThread::Stage;
constexpr std::size_t kReadyMax = 3;

Status failed(std::string_view what) { return errno_error(errno, what); }

// Into namespaces of this thread alone, with an empty read-only tree for a root. Nothing of the host
// can be reached from here afterwards, except by descriptors.
Status leave_host(host::Fd& way_back) {
  KILN_ASSIGN_OR_RETURN(way_back, host::open_file("/proc/thread-self/ns/mnt", O_RDONLY));
  if (::unshare(CLONE_FS | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID) != 0) return failed("unshare");
  mount_attr change{};
  change.propagation = MS_PRIVATE;
  if (::mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &change, sizeof change) != 0) return failed("make mounts private");
  KILN_ASSIGN_OR_RETURN(
      host::Fd empty,
      host::open_mount({"tmpfs", "tmpfs", {"ro", "nosuid", "nodev", "noexec", "size=4096", "mode=0555"}}));
  KILN_RETURN_IF_ERROR(host::attach(empty.get(), "/"));
  if (::fchdir(empty.get()) != 0) return failed("enter the empty tree");
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return failed("change the root");
  if (::umount2(".", MNT_DETACH) != 0) return failed("drop the host's tree");
  if (::chdir("/") != 0) return failed("enter the empty tree");
  return ok();
}

Status prepare(LaunchThread& self, CgroupPool& pool) {
  KILN_ASSIGN_OR_RETURN(host::Cgroup group, pool.take(ContainerSpec{}));
  Status entered = ok();
  if (group.valid() && group.clone_fd() < 0) {
    // A thread's place in version 1 is inherited; in version 2 the child is cloned into its group.
    for (int fd : group.attach_fds()) {
      if (::write(fd, "0", 1) != 1) entered = failed("enter the control group");
    }
  }
  {
    std::lock_guard lock(self.mutex);
    self.cgroup = std::move(group);
  }
  KILN_RETURN_IF_ERROR(entered);
  return leave_host(self.host_mounts);
}

void live(const std::shared_ptr<LaunchThread>& self, CgroupPool& pool) {
  if (Status status = prepare(*self, pool); !status.ok()) {
    log_debug("no launcher for steps: {}", message_of(status));
    self->set(Stage::kFailed);
    return;
  }
  std::unique_lock lock(self->mutex);
  if (self->stage == Stage::kPreparing) self->stage = Stage::kReady;
  self->changed.notify_all();
  self->changed.wait(lock, [&] { return self->stage == Stage::kAsked || self->stage == Stage::kDone; });
  if (self->stage == Stage::kAsked) {
    lock.unlock();
    Result<StartedChild> child = start_child(*self->plan, *self->failure);
    lock.lock();
    self->child = std::move(child);
    self->stage = Stage::kStarted;
    self->changed.notify_all();
    self->changed.wait(lock, [&] { return self->stage == Stage::kDone; });
  }
  lock.unlock();
  // Dropped here and not by the end of the thread, which nobody can wait for.
  if (::setns(self->host_mounts.get(), CLONE_NEWNS) != 0)
    log_debug("a launcher keeps its mounts to its end: errno {}", errno);
  lock.lock();
  self->left = true;
  self->changed.notify_all();
}

}  // namespace

Launcher::~Launcher() {
  if (!thread_) return;
  thread_->set(Stage::kDone);
  home_.retire(std::move(thread_));
}

host::Cgroup& Launcher::cgroup() { return thread_->cgroup; }

Result<StartedChild> Launcher::start(const ChildPlan& plan, ChildFailure& failure) {
  std::unique_lock lock(thread_->mutex);
  thread_->plan = &plan;
  thread_->failure = &failure;
  thread_->stage = Stage::kAsked;
  thread_->changed.notify_all();
  thread_->changed.wait(lock, [&] { return thread_->stage == Stage::kStarted; });
  return std::move(thread_->child);
}

void Launcher::finish() {
  thread_->set(Stage::kDone);
  std::unique_lock lock(thread_->mutex);
  thread_->changed.wait(lock, [&] { return thread_->left; });
}

Launchers::~Launchers() {
  for (auto& thread : ready_) {
    std::unique_lock lock(thread->mutex);
    thread->changed.wait(lock, [&] { return thread->stage != Stage::kPreparing; });
    thread->stage = Stage::kDone;
    thread->changed.notify_all();
  }
  for (auto& thread : ready_) {
    if (thread->thread.joinable()) thread->thread.join();
    pool_.give_back(std::move(thread->cgroup));
  }
  for (auto& thread : retired_) {
    if (thread->thread.joinable()) thread->thread.join();
  }
}

void Launchers::prepare_locked() {
  auto thread = std::make_shared<LaunchThread>();
  thread->thread = std::jthread([thread, &pool = pool_] { live(thread, pool); });
  ready_.push_back(std::move(thread));
}

std::unique_ptr<Launcher> Launchers::take() {
  std::unique_ptr<Launcher> taken;
  std::lock_guard lock(mutex_);
  if (unusable_) return nullptr;
  for (auto at = ready_.begin(); at != ready_.end() && !taken; ++at) {
    std::lock_guard thread_lock((*at)->mutex);
    if ((*at)->stage == Stage::kFailed) {
      unusable_ = true;  // it will not go better the next time
      return nullptr;
    }
    if ((*at)->stage != Stage::kReady) continue;
    taken = std::make_unique<Launcher>(*this, std::move(*at));
    ready_.erase(at);
    break;
  }
  while (ready_.size() < kReadyMax) prepare_locked();
  std::vector<std::shared_ptr<LaunchThread>> ending;
  std::erase_if(retired_, [&](std::shared_ptr<LaunchThread>& thread) {
    std::lock_guard thread_lock(thread->mutex);
    if (!thread->left) return false;
    ending.push_back(std::move(thread));
    return true;
  });
  for (auto& thread : ending) thread->thread.join();  // it is about to end
  return taken;
}

void Launchers::retire(std::shared_ptr<LaunchThread> thread) {
  std::lock_guard lock(mutex_);
  retired_.push_back(std::move(thread));
}

}  // namespace kiln::sandbox
