#include "frontend/parallel.h"

#include <mutex>

#include "base/pool.h"

namespace kiln::frontend {

Status run_all(const std::vector<std::function<Status(std::stop_token)>>& jobs, std::stop_token stop) {
  if (jobs.empty()) return ok();
  if (jobs.size() == 1) return jobs.front()(stop);
  std::stop_source source;
  std::stop_callback chain(stop, [&source] { source.request_stop(); });
  std::mutex mutex;
  Status first = ok();
  const auto run = [&](const std::function<Status(std::stop_token)>& job) {
    Status status = job(source.get_token());
    if (status.ok()) return;
    std::lock_guard lock(mutex);
    if (first.ok()) first = status;
    source.request_stop();
  };
  {
    Pool pool(64);
    for (std::size_t i = 1; i < jobs.size(); ++i) {
      pool.submit([&, i] { run(jobs[i]); });
    }
    run(jobs.front());  // this thread has nothing else to do
    pool.drain();
  }
  return first;
}

}  // namespace kiln::frontend
