#include "remotecache/sending.h"

#include <utility>

namespace kiln::remotecache {

Sending::~Sending() {
  std::unique_lock lock(mutex_);
  waiting_.clear();
  changed_.wait(lock, [&] { return workers_ == 0; });
}

void Sending::add(store::LayerBlob layer) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return;
  waiting_.push_back(std::move(layer));
  if (pool_ == nullptr || workers_ == at_once_) return;
  ++workers_;
  pool_->submit([this] {
    work();
    std::lock_guard ended(mutex_);
    --workers_;
    changed_.notify_all();
  });
}

void Sending::work() {
  std::unique_lock lock(mutex_);
  while (!waiting_.empty()) {
    store::LayerBlob layer = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    Status sent = send_(layer);
    lock.lock();
    if (sent.ok()) continue;
    if (failure_.ok()) failure_ = std::move(sent);
    waiting_.clear();
  }
}

Status Sending::finish() {
  work();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return workers_ == 0; });
  return failure_;
}

}  // namespace kiln::remotecache
