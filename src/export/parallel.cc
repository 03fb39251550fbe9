#include "export/internal/parallel.h"

#include <condition_variable>
#include <memory>
#include <mutex>

namespace kiln::exporter::internal {

Status run_parallel(Pool* pool, std::vector<std::function<Status()>> jobs) {
  if (!pool || jobs.size() < 2) {
    for (const auto& job : jobs) KILN_RETURN_IF_ERROR(job());
    return ok();
  }
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t left = jobs.size() - 1;
  std::vector<Status> answers(jobs.size());
  for (std::size_t i = 1; i < jobs.size(); ++i) {
    pool->submit([&, i] {
      Status status = jobs[i]();
      std::lock_guard guard(mutex);
      answers[i] = std::move(status);
      --left;
      changed.notify_all();
    });
  }
  answers[0] = jobs[0]();
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return left == 0; });
  for (const auto& status : answers) KILN_RETURN_IF_ERROR(status);
  return ok();
}

}  // namespace kiln::exporter::internal
