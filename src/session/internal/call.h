// Calls from the daemon to a client: bounded by a stop token, with the client's errors turned into
// ours.
#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/status.h"
#include "host/fd.h"
#include "host/file_bytes.h"
#include "http2/call.h"
#include "session/session.h"

namespace kiln::session::internal {

using http2::Bytes;
using http2::Pieces;
using Metadata = http2::Fields;

// The other end's status as ours; its details travel along under kStatusDetails.
inline constexpr std::string_view kStatusDetails = "google.rpc.Status";
Status to_status(const http2::Outcome& outcome);
http2::Outcome to_outcome(const Status& status);

struct CallOptions {
  Metadata metadata;
  std::chrono::milliseconds timeout{0};  // zero: none
  std::stop_token stop;
};

// One question, one answer. Blocking, cancelled by the stop token.
Status ask(Session& session, const char* method, const CallOptions& options,
           const google::protobuf::MessageLite& question, google::protobuf::MessageLite& answer);

// InvalidArgument (fault: peer) for bytes that are no such message.
Status parse_message(const Pieces& pieces, google::protobuf::MessageLite& message);

// Messages both ways, as bytes. Reading and writing may happen in two threads at once; blocking.
class MessagePipe {
 public:
  virtual ~MessagePipe() = default;
  // The pieces are good until the next call. False at the end or when the call broke; the reason is in
  // finish().
  virtual bool read(Pieces& message) = 0;
  // Whether read() would not have to wait, as far as one knows without looking.
  virtual bool more_at_hand() const { return false; }
  using Flush = http2::Flush;
  // A message of two parts, of which the second is not copied where that can be avoided.
  virtual bool write(std::string_view head, const Bytes& body, Flush flush) = 0;
  bool write(std::string_view message, Flush flush) { return write(message, {}, flush); }

  // After a read that gave false: whether the other end said that this was all.
  virtual bool complete() const = 0;

  // Whether open files may go along with messages (direct_pipe.h).
  virtual bool takes_files() const { return false; }
  virtual bool write_file(std::string_view, int) { return false; }
  // A message that ends with a stretch of a file, not larger than what others are; only if takes_files().
  virtual bool write_from(std::string_view /*start*/, const host::FileBytes&) { return false; }
  // The file that came with the message read last, once.
  virtual host::Fd take_file() { return {}; }
};

// A call of the daemon under way, whatever carries it.
class ClientCall : public MessagePipe {
 public:
  virtual void writes_done() = 0;
  virtual void cancel() = 0;
  // After the last read gave false. Cancelled when the stop token was the reason.
  virtual Status finish() = 0;
};

// Through the session's tunnel: a bidirectional call of gRPC.
class TunnelCall final : public ClientCall {
 public:
  // `method` is the whole path: "/moby.filesync.v1.FileSync/DiffCopy". What has not ended is cancelled
  // by the destructor.
  TunnelCall(Session& session, const char* method, const CallOptions& options);

  bool read(Pieces& message) override { return call_.read(message); }
  bool more_at_hand() const override { return call_.more_at_hand(); }
  bool write(std::string_view head, const Bytes& body, Flush flush) override { return call_.write(head, body, flush); }
  bool complete() const override { return true; }  // finish() tells
  void writes_done() override { call_.writes_done(); }
  void cancel() override { call_.cancel(); }
  Status finish() override;

 private:
  std::stop_token stop_;
  http2::Call call_;
  std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace kiln::session::internal
