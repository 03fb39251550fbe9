// Threads that stand ready to start a step: each has left the host's mounts, IPC, host name and pid
// namespace behind and sits in a cgroup of its own, so that the child it makes is born into all that.
// What a step would wait for (copying and dropping the host's mount table, entering cgroups, tearing
// the namespaces down) happens before it comes or after it has gone.
//
//   std::unique_ptr<Launcher> launcher = launchers.take();     // null: none ready, start without
//   launcher->start(plan, failure); … serve … ; launcher.reset();
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "host/cgroup.h"
#include "sandbox/cgroup_pool.h"
#include "sandbox/child.h"

namespace kiln::sandbox {

class Launchers;
struct LaunchThread;

// One prepared thread, for one child. Must outlive the child: the kernel kills a child whose thread
// has ended. One thread at a time.
class Launcher {
 public:
  Launcher(Launchers& home, std::shared_ptr<LaunchThread> thread) : home_(home), thread_(std::move(thread)) {}
  // Lets the thread go; its namespaces vanish shortly after.
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // The cgroup that the child is born into; the caller takes it away. Invalid when there is none.
  host::Cgroup& cgroup();
  // As start_child. The plan's namespaces are those wanted on top of the thread's.
  Result<StartedChild> start(const ChildPlan& plan, ChildFailure& failure);
  // Waits until the namespaces are gone, so that no mount of the child is held any more.
  void finish();

 private:
  Launchers& home_;
  std::shared_ptr<LaunchThread> thread_;
};

// Keeps some ready once they are asked for. Any thread; outlives its launchers.
class Launchers {
 public:
  explicit Launchers(CgroupPool& pool) : pool_(pool) {}
  ~Launchers();
  // Never waits.
  std::unique_ptr<Launcher> take();

 private:
  friend class Launcher;
  void prepare_locked();
  void retire(std::shared_ptr<LaunchThread> thread);

  CgroupPool& pool_;
  std::mutex mutex_;
  std::deque<std::shared_ptr<LaunchThread>> ready_;  // or about to be
  std::vector<std::shared_ptr<LaunchThread>> retired_;
  bool unusable_ = false;
};

}  // namespace kiln::sandbox
