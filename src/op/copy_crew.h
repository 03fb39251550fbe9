// Threads that share the copying of many small files: the walk goes on while they write.
//
//   CopyCrew crew;
//   crew.submit([=] { return copy_some(files); });
//   KILN_RETURN_IF_ERROR(crew.finish());
//
// A copy of one file costs about what a hand-over costs, so jobs should be of some dozens.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"

namespace kiln::op {

// Owned and called by one thread; the jobs run in any. The destructor waits for running jobs and drops
// the others.
class CopyCrew {
 public:
  CopyCrew() = default;
  ~CopyCrew();
  CopyCrew(const CopyCrew&) = delete;
  CopyCrew& operator=(const CopyCrew&) = delete;

  // Queues the job, or runs it here when enough is queued; so what jobs hold open is bounded. After a
  // failure jobs are dropped.
  void submit(std::function<Status()> job);
  // Whether a job failed: what is still to come is in vain.
  bool failed();
  // Helps until all is done; the first failure. Nothing may be submitted any more.
  Status finish();

 private:
  void work();
  bool run_one(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<Status()>> jobs_;
  int running_ = 0;
  bool ending_ = false;
  Status first_failure_;
  std::vector<std::jthread> threads_;
};

}  // namespace kiln::op
