// How the services use gRPC's callback API: no thread waits for a client. A call that works runs on
// the pool with a stop token that the client's cancellation stops; a stream has one queue, so that a
// second write never starts before the first is done.
//
// Included by .cc files of services only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/pool.h"
#include "base/status.h"
#include "daemon/status_wire.h"

namespace kiln::daemon {

// Runs `work` and turns an escaping exception into an engine fault: the catch-all of the services.
inline Status guarded(const std::function<Status()>& work) {
  try {
    return work();
  } catch (const std::exception& e) {
    log_error("a call failed unexpectedly: {}", e.what());
    return engine_error(e.what());
  }
}

inline void log_failure(std::string_view method, const Status& status) {
  if (status.ok()) return;
  if (is_cancelled(status)) {
    log_debug("{} was canceled", method);
  } else {
    log_error("{} returned error: {}", method, message_of(status));
  }
}

// A unary call on the pool. Owns itself.
class PooledCall final : public grpc::ServerUnaryReactor {
 public:
  using Work = std::function<Status(std::stop_token)>;
  PooledCall(Pool& pool, const char* method, Work work) {
    pool.submit([this, method, work = std::move(work)] {
      const Status status = guarded([&] { return work(stop_.get_token()); });
      log_failure(method, status);
      Finish(to_grpc(status));
    });
  }
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { delete this; }

 private:
  std::stop_source stop_;
};

// A unary call that somebody finishes later. Owns itself.
class LaterCall final : public grpc::ServerUnaryReactor {
 public:
  explicit LaterCall(const char* method) : method_(method) {}
  std::stop_token stop_token() const { return stop_.get_token(); }
  void finish(const Status& status) {
    log_failure(method_, status);
    Finish(to_grpc(status));
  }
  void OnCancel() override { stop_.request_stop(); }
  void OnDone() override { delete this; }

 private:
  const char* method_;
  std::stop_source stop_;
};

// A unary call answered at once.
inline grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context, const Status& status) {
  auto* reactor = context->DefaultReactor();
  reactor->Finish(to_grpc(status));
  return reactor;
}

// A stream to the client. push() and finish() from any thread; nothing is sent after finish(). Owns
// itself until OnDone; a producer that may outlive it registers an `on_done` and stops then.
template <typename Message>
class QueuedWriter final : public grpc::ServerWriteReactor<Message> {
 public:
  std::stop_token stop_token() const { return stop_.get_token(); }
  // Before the producer starts. Called once, when no more calls may be made.
  void set_on_done(std::function<void()> on_done) { on_done_ = std::move(on_done); }
  // The client going away ends the stream without the producer.
  void finish_on_cancel() { finish_on_cancel_ = true; }

  void push(Message message) {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    queue_.push_back(std::move(message));
    write_next();
  }
  void finish(const Status& status) {
    std::lock_guard lock(mutex_);
    if (ending_) return;
    ending_ = true;
    end_ = to_grpc(status);
    write_next();
  }

  void OnWriteDone(bool sent) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    queue_.pop_front();
    if (!sent) {
      queue_.clear();
      stop_.request_stop();
    }
    write_next();
  }
  void OnCancel() override {
    stop_.request_stop();
    if (finish_on_cancel_) finish(cancelled());
  }
  void OnDone() override {
    // Whoever ended the stream may still hold the mutex.
    { std::lock_guard lock(mutex_); }
    if (on_done_) on_done_();
    delete this;
  }

 private:
  void write_next() {
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      writing_ = true;
      this->StartWrite(&queue_.front());
    } else if (ending_) {
      finished_ = true;
      this->Finish(end_);
    }
  }

  std::mutex mutex_;
  std::deque<Message> queue_;
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
  bool finish_on_cancel_ = false;
  grpc::Status end_;
  std::stop_source stop_;
  std::function<void()> on_done_;
};

}  // namespace kiln::daemon
