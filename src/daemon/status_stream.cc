#include "daemon/status_stream.h"

#include <utility>

#include "daemon/status_wire.h"

namespace kiln::daemon {
namespace {

// Events come in bursts; what comes within this time after a message travels in the next one.
constexpr auto kGather = std::chrono::milliseconds(10);

}  // namespace

void StatusStream::follow(std::shared_ptr<StatusLog> log) {
  // While waiting, nothing but this function can end the stream.
  const std::uint64_t watch = log->watch([this] { on_told(); });
  std::lock_guard lock(mutex_);
  log_ = std::move(log);
  watch_ = watch;
  state_ = State::kIdle;
  if (stop_.stop_requested()) return end(grpc::Status::CANCELLED);
  write();
}

void StatusStream::fail(const Status& status) {
  std::lock_guard lock(mutex_);
  end(to_grpc(status));
}

void StatusStream::OnWriteDone(bool sent) {
  std::lock_guard lock(mutex_);
  last_write_ = std::chrono::steady_clock::now();
  state_ = State::kIdle;
  if (!sent || stop_.stop_requested()) return end(grpc::Status::CANCELLED);
  if (at_end_) return end(grpc::Status::OK);
  const bool told = std::exchange(told_, false);
  if (log_->closed() || log_->has_frame(cursor_)) return write();
  if (told) gather();
}

void StatusStream::OnCancel() {
  stop_.request_stop();
  std::lock_guard lock(mutex_);
  if (state_ == State::kIdle) end(grpc::Status::CANCELLED);
  if (state_ == State::kGathering) alarm_->Cancel();
}

void StatusStream::OnDone() {
  // Whoever ended the stream may still hold the mutex.
  { std::lock_guard lock(mutex_); }
  if (log_ != nullptr) log_->forget(watch_);
  delete this;
}

void StatusStream::on_told() {
  std::lock_guard lock(mutex_);
  switch (state_) {
    case State::kWriting: told_ = true; break;
    case State::kGathering:
      if (log_->closed()) alarm_->Cancel();  // nothing more to gather
      break;
    case State::kIdle:
      if (std::chrono::steady_clock::now() - last_write_ < kGather && !log_->closed()) {
        gather();
      } else {
        write();
      }
      break;
    case State::kWaiting:
    case State::kFinished: break;
  }
}

void StatusStream::gather() {
  state_ = State::kGathering;
  // A new one each time: the callback of the last may still be returning.
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(std::chrono::system_clock::now() + kGather, [this](bool) {
    std::lock_guard lock(mutex_);
    state_ = State::kIdle;
    if (stop_.stop_requested()) return end(grpc::Status::CANCELLED);
    write();
  });
}

void StatusStream::write() {
  StatusLog::Chunk chunk = log_->read(cursor_);
  cursor_ = chunk.next;
  at_end_ = chunk.end;
  if (chunk.frame.empty()) {
    if (at_end_) end(grpc::Status::OK);
    return;
  }
  grpc::Slice slice(chunk.frame);
  buffer_ = grpc::ByteBuffer(&slice, 1);
  state_ = State::kWriting;
  StartWrite(&buffer_);
}

void StatusStream::end(grpc::Status status) {
  if (state_ == State::kFinished) return;
  state_ = State::kFinished;
  Finish(std::move(status));
}

}  // namespace kiln::daemon
