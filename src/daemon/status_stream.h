// Control.Status: a stream of frames that are on hand already serialised, of a build that runs or of
// a record (daemon/status_log.h). Included by .cc files of services only.
//
//   auto* stream = new StatusStream();
//   … stream->follow(log);   // or stream->fail(status), once, from any thread
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>

#include "base/status.h"
#include "daemon/status_log.h"

namespace kiln::daemon {

// Owns itself. States: waiting (for follow or fail), idle (nothing told), gathering (the alarm is
// set), writing, finished. A telling moves idle to writing or gathering; the alarm moves gathering
// to writing; a done write moves on to whichever fits what is left.
class StatusStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // Sends everything the log tells, from its beginning to its end.
  void follow(std::shared_ptr<StatusLog> log);
  void fail(const Status& status);
  // Stopped when the client goes away.
  std::stop_token stop_token() const { return stop_.get_token(); }

  void OnWriteDone(bool sent) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void on_told();
  // The functions below run under the mutex.
  void gather();
  void write();
  void end(grpc::Status status);

  std::stop_source stop_;
  std::mutex mutex_;
  std::shared_ptr<StatusLog> log_;
  std::uint64_t watch_ = 0;
  std::uint64_t cursor_ = 0;
  std::unique_ptr<grpc::Alarm> alarm_;
  grpc::ByteBuffer buffer_;
  std::chrono::steady_clock::time_point last_write_{};
  enum class State { kWaiting, kIdle, kGathering, kWriting, kFinished };
  State state_ = State::kWaiting;
  bool told_ = false;  // while writing
  bool at_end_ = false;
};

}  // namespace kiln::daemon
