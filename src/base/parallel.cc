#include "base/parallel.h"

#include <condition_variable>
#include <memory>
#include <mutex>

namespace kiln {
namespace {

// What the runners of one call share; lives on the caller's stack, who waits for all of them.
struct Shared {
  std::vector<std::function<Status()>> jobs;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t next = 0;
  std::size_t runners = 0;
  bool failed = false;
  std::vector<Status> answers;

  void run() {
    for (;;) {
      std::size_t mine;
      {
        std::lock_guard guard(mutex);
        if (failed || next == jobs.size()) return;
        mine = next++;
      }
      Status status = jobs[mine]();
      std::lock_guard guard(mutex);
      failed |= !status.ok();
      answers[mine] = std::move(status);
    }
  }
};

}  // namespace

Status run_parallel(Pool* pool, std::vector<std::function<Status()>> jobs, std::size_t at_once) {
  Shared shared;
  shared.jobs = std::move(jobs);
  shared.answers.resize(shared.jobs.size());
  std::size_t helpers = shared.jobs.size() < 2 || pool == nullptr ? 0 : shared.jobs.size() - 1;
  if (at_once > 0) helpers = std::min(helpers, at_once - 1);
  shared.runners = helpers;
  for (std::size_t i = 0; i < helpers; ++i) {
    pool->submit([&shared] {
      shared.run();
      std::lock_guard guard(shared.mutex);
      --shared.runners;
      shared.changed.notify_all();
    });
  }
  shared.run();
  std::unique_lock lock(shared.mutex);
  shared.changed.wait(lock, [&] { return shared.runners == 0; });
  for (const auto& status : shared.answers) KILN_RETURN_IF_ERROR(status);
  return ok();
}

}  // namespace kiln
