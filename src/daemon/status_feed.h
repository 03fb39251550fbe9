// Control.Status: a stream of frames that are on hand already serialised, of a build that runs or of a
// record (daemon/status_log.h), whatever carries them.
//
//   auto feed = std::make_shared<StatusFeed>(std::make_unique<MyOutlet>(…));
//   … feed->follow(log);   // or feed->fail(status), once, from any thread
//   … feed->go_on();       // the outlet may be written to again
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "daemon/status_log.h"
#include "http2/one_at_a_time.h"

namespace grpc {
class Alarm;
}

namespace kiln::daemon {

// Port: where the frames go. Implementers: called by one thread at a time, never block, and may call the
// feed back (go_on, cancel) from inside. It exists since two things carry calls: our own HTTP/2 and gRPC's
// library.
class StatusOutlet {
 public:
  virtual ~StatusOutlet() = default;
  virtual bool writable() = 0;
  // Only while writable.
  virtual void write(std::string frame) = 0;
  // Only while writable, once, and nothing after it.
  virtual void end(const Status& status) = 0;
};

// Any thread. What calls it shares it.
class StatusFeed final : public std::enable_shared_from_this<StatusFeed> {
 public:
  explicit StatusFeed(std::unique_ptr<StatusOutlet> outlet);
  ~StatusFeed();

  // Sends everything that the log tells, from its beginning to its end.
  void follow(std::shared_ptr<StatusLog> log);
  void fail(const Status& status);
  void go_on();
  // The client has gone away.
  void cancel();
  std::stop_token stop_token() const { return stop_.get_token(); }

 private:
  // The functions below run in one thread at a time.
  void turn();
  bool send_frame(StatusLog& log);
  void gather();
  void end(const Status& status);

  const std::unique_ptr<StatusOutlet> outlet_;
  std::stop_source stop_;
  http2::OneAtATime turns_;

  std::mutex mutex_;  // of the next two
  std::shared_ptr<StatusLog> log_;
  std::optional<Status> verdict_;

  bool ended_ = false;
  bool at_end_ = false;
  std::uint64_t cursor_ = 0;
  std::chrono::steady_clock::time_point last_write_{};
  std::chrono::steady_clock::time_point gathering_until_{};
  std::unique_ptr<grpc::Alarm> alarm_;
};

}  // namespace kiln::daemon
