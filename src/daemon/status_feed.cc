#include "daemon/status_feed.h"

#include <grpcpp/alarm.h>

#include <utility>

namespace kiln::daemon {
namespace {

// Events come in bursts; what comes within this time after a message travels in the next one.
constexpr auto kGather = std::chrono::milliseconds(10);

using Ticks = std::chrono::steady_clock;

}  // namespace

StatusFeed::StatusFeed(std::unique_ptr<StatusOutlet> outlet) : outlet_(std::move(outlet)) {}
StatusFeed::~StatusFeed() = default;

void StatusFeed::follow(std::shared_ptr<StatusLog> log) {
  // The log keeps no one alive who has gone.
  log->watch([weak = weak_from_this()] {
    auto self = weak.lock();
    if (self) self->go_on();
    return self != nullptr;
  });
  {
    std::lock_guard lock(mutex_);
    log_ = std::move(log);
  }
  go_on();
}

void StatusFeed::fail(const Status& status) {
  {
    std::lock_guard lock(mutex_);
    verdict_ = status;
  }
  go_on();
}

void StatusFeed::go_on() {
  turns_.run([this] { turn(); });
}

void StatusFeed::cancel() {
  stop_.request_stop();
  go_on();
}

void StatusFeed::turn() {
  if (ended_ || !outlet_->writable()) return;
  std::shared_ptr<StatusLog> log;
  std::optional<Status> verdict;
  {
    std::lock_guard lock(mutex_);
    log = log_;
    verdict = verdict_;
  }
  if (stop_.stop_requested()) return end(cancelled());
  if (verdict) return end(*verdict);
  if (!log) return;
  while (!at_end_ && outlet_->writable() && send_frame(*log)) {
  }
  if (at_end_ && outlet_->writable()) end(ok());
}

// Whether there may be another one.
bool StatusFeed::send_frame(StatusLog& log) {
  // Whole frames, and the last one, wait for nothing.
  if (!log.closed() && !log.has_frame(cursor_) && Ticks::now() - last_write_ < kGather) {
    if (log.has_news(cursor_)) gather();
    return false;
  }
  StatusLog::Chunk chunk = log.read(cursor_);
  cursor_ = chunk.next;
  at_end_ = chunk.end;
  if (chunk.frame.empty()) return false;
  outlet_->write(std::move(chunk.frame));
  last_write_ = Ticks::now();
  return true;
}

void StatusFeed::gather() {
  if (gathering_until_ > Ticks::now()) return;
  const auto rest = kGather - (Ticks::now() - last_write_);
  gathering_until_ = Ticks::now() + rest;
  // A new one each time: the callback of the last may still be returning.
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(std::chrono::system_clock::now() + std::chrono::ceil<std::chrono::microseconds>(rest),
              [weak = weak_from_this()](bool) {
                if (auto self = weak.lock()) self->go_on();
              });
}

void StatusFeed::end(const Status& status) {
  ended_ = true;
  outlet_->end(status);
}

}  // namespace kiln::daemon
