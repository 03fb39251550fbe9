#include "client/view_pump.h"

#include "base/value.h"

namespace kiln::client {

ViewPump::ViewPump(std::unique_ptr<ProgressView> view, Duration tick)
    : view_(std::move(view)), tick_(tick), thread_([this](std::stop_token stop) { run(stop); }) {}

ViewPump::~ViewPump() { finish(); }

void ViewPump::push(ProgressUpdate update) {
  std::lock_guard lock(mutex_);
  updates_.push_back(std::move(update));
  changed_.notify_one();
}

void ViewPump::finish() {
  if (std::exchange(finished_, true)) return;
  thread_.request_stop();
  thread_.join();
  view_->finish();
}

void ViewPump::run(std::stop_token stop) {
  while (true) {
    std::deque<ProgressUpdate> batch;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, tick_, [&] { return !updates_.empty(); });
      batch.swap(updates_);
      if (batch.empty() && stop.stop_requested()) return;
    }
    for (const ProgressUpdate& update : batch) view_->update(update);
    if (batch.empty()) view_->refresh();
  }
}

Duration tick_of(const EnvironmentLookup& environment) {
  std::optional<std::int64_t> rate = parse_integer(environment("TTY_DISPLAY_RATE").value_or(""));
  return std::chrono::milliseconds(rate && *rate > 0 ? *rate : 150);
}

}  // namespace kiln::client
