#include "store/internal/parallel.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace kiln::store {

Status run_together(Pool* pool, std::vector<std::function<Status(std::stop_token)>> jobs, std::stop_token stop,
                    std::size_t at_once) {
  if (jobs.empty()) return ok();
  struct Shared {
    std::vector<std::function<Status(std::stop_token)>> jobs;
    std::atomic<std::size_t> next = 0;
    std::stop_source end;
    std::mutex mutex;
    std::condition_variable quiet;
    std::size_t running = 0;
    Status first;
  };
  auto shared = std::make_shared<Shared>();
  shared->jobs = std::move(jobs);
  std::stop_callback forward(stop, [&] { shared->end.request_stop(); });
  auto work = [shared] {
    for (std::size_t i; (i = shared->next++) < shared->jobs.size();) {
      Status status = shared->end.stop_requested() ? cancelled() : shared->jobs[i](shared->end.get_token());
      if (status.ok()) continue;
      std::lock_guard lock(shared->mutex);
      if (shared->first.ok() || (is_cancelled(shared->first) && !is_cancelled(status))) shared->first = status;
      shared->end.request_stop();
    }
  };
  std::size_t helpers = pool ? std::min(at_once, shared->jobs.size()) - 1 : 0;
  shared->running = helpers;
  for (std::size_t i = 0; i < helpers; ++i) {
    pool->submit([shared, work] {
      work();
      std::lock_guard lock(shared->mutex);
      if (--shared->running == 0) shared->quiet.notify_all();
    });
  }
  work();
  std::unique_lock lock(shared->mutex);
  shared->quiet.wait(lock, [&] { return shared->running == 0; });
  return shared->first;
}

}  // namespace kiln::store
