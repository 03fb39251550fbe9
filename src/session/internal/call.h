// Calls from the daemon to a client: bounded by a stop token, with the client's errors turned into
// ours.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/sync_stream.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "host/fd.h"
#include "host/file_bytes.h"
#include "session/session.h"

namespace kiln::session::internal {

// A header's value as gRPC accepts it: what is not printable ASCII is percent-encoded. gRPC ends the
// process on anything else, so nothing from outside may go into a header without it.
std::string header_value(std::string_view value);

using Metadata = std::vector<std::pair<std::string, std::string>>;

// The client's status as ours; its details travel along under kStatusDetails.
inline constexpr std::string_view kStatusDetails = "google.rpc.Status";
Status from_grpc(const grpc::Status& status);
grpc::Status to_grpc(const Status& status);

struct CallOptions {
  Metadata metadata;
  std::chrono::milliseconds timeout{0};  // zero: none
  std::stop_token stop;
};

// Runs `call` with a context that is cancelled by the stop token. Blocking.
Status call_unary(const CallOptions& options, const std::function<grpc::Status(grpc::ClientContext&)>& call);

// Messages both ways, as bytes. Reading and writing may happen in two threads at once; blocking.
class MessagePipe {
 public:
  virtual ~MessagePipe() = default;
  // False at the end or when the call broke; the reason is in finish().
  virtual bool read(grpc::ByteBuffer& message) = 0;
  enum class Flush { kNow, kLater };
  virtual bool write(const grpc::ByteBuffer& message, Flush flush = Flush::kNow) = 0;

  // After a read that gave false: whether the other end said that this was all. A gRPC call cannot tell.
  virtual bool complete() const { return true; }

  // Whether open files may go along with messages (direct_pipe.h).
  virtual bool takes_files() const { return false; }
  virtual bool write_file(const grpc::ByteBuffer&, int) { return false; }
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
class RawCall final : public ClientCall {
 public:
  // `method` is a string literal: "/moby.filesync.v1.FileSync/DiffCopy".
  RawCall(Session& session, const char* method, const CallOptions& options);
  ~RawCall() override;  // cancels when finish() was not called

  bool read(grpc::ByteBuffer& message) override { return stream_->Read(&message); }
  bool write(const grpc::ByteBuffer& message, Flush flush) override;
  void writes_done() override { stream_->WritesDone(); }
  void cancel() override { context_.TryCancel(); }
  Status finish() override;

 private:
  std::stop_token stop_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream_;
  std::stop_callback<std::function<void()>> on_stop_;
  bool finished_ = false;
};

const std::shared_ptr<grpc::Channel>& channel_of(Session& session);

}  // namespace kiln::session::internal
