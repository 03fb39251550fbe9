#include "op/copy_crew.h"

#include <algorithm>
#include <utility>

namespace kiln::op {
namespace {

constexpr std::size_t kQueuedMax = 16;

std::size_t helpers_max() { return std::clamp(std::thread::hardware_concurrency(), 2u, 5u) - 1; }

}  // namespace

CopyCrew::~CopyCrew() {
  {
    std::lock_guard lock(mutex_);
    jobs_.clear();
    ending_ = true;
  }
  changed_.notify_all();
  threads_.clear();  // joins
}

// Runs the oldest job without the lock; false when there is none.
bool CopyCrew::run_one(std::unique_lock<std::mutex>& lock) {
  if (jobs_.empty()) return false;
  std::function<Status()> job = std::move(jobs_.front());
  jobs_.pop_front();
  ++running_;
  lock.unlock();
  Status status = job();
  job = nullptr;  // with what it holds open
  lock.lock();
  --running_;
  if (!status.ok()) {
    if (first_failure_.ok()) first_failure_ = std::move(status);
    jobs_.clear();
  }
  return true;
}

void CopyCrew::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ending_ || !jobs_.empty(); });
    if (!run_one(lock)) return;
    if (jobs_.empty() && running_ == 0) changed_.notify_all();
  }
}

void CopyCrew::submit(std::function<Status()> job) {
  std::unique_lock lock(mutex_);
  if (!first_failure_.ok()) return;
  jobs_.push_back(std::move(job));
  if (jobs_.size() > kQueuedMax) {
    run_one(lock);
    return;
  }
  // The first job alone is not worth a thread: finish() does it.
  if (jobs_.size() > 1 && threads_.size() < helpers_max()) threads_.emplace_back([this] { work(); });
  lock.unlock();
  changed_.notify_one();
}

bool CopyCrew::failed() {
  std::lock_guard lock(mutex_);
  return !first_failure_.ok();
}

Status CopyCrew::finish() {
  std::unique_lock lock(mutex_);
  while (run_one(lock)) {
  }
  changed_.wait(lock, [&] { return jobs_.empty() && running_ == 0; });
  return first_failure_;
}

}  // namespace kiln::op
