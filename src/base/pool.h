// Threads for blocking work. Threads are made when work waits and none is idle, and leave after
// ten idle seconds, so a quiet daemon has none. Limits on what runs at once (max-parallelism,
// connections a host) are made by semaphores above, not by the pool.
//
//   pool.submit([=] { run_step(...); });
#pragma once

#include <functional>
#include <memory>

namespace kiln {

// Any thread. The destructor waits for all submitted work.
class Pool {
 public:
  // threads_max bounds a runaway; work above it queues.
  explicit Pool(int threads_max = 1024);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Never blocks. A job must not throw: an escaping exception is an engine fault and is logged.
  void submit(std::function<void()> job);
  // Blocks until nothing is queued or running.
  void drain();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kiln
