#include "session/internal/carrier.h"

#include "session/internal/packet.h"

namespace kiln::session::internal {
namespace {

// Below, one slice with a copy is cheaper than two that refer.
constexpr std::size_t kReferredBytesMin = 4096;

grpc::Slice slice_of(const Bytes& bytes) {
  if (bytes.view.size() < kReferredBytesMin || !bytes.keeper) return grpc::Slice(bytes.view.data(), bytes.view.size());
  using Keeper = std::shared_ptr<const void>;
  return grpc::Slice(
      const_cast<char*>(bytes.view.data()), bytes.view.size(),
      [](void* keeper) { delete static_cast<Keeper*>(keeper); }, new Keeper(bytes.keeper));
}

grpc::ByteBuffer message_of_bytes(const http2::ByteQueue& bytes) {
  std::string head = bytes_message_head(bytes.size());
  std::vector<grpc::Slice> slices;
  if (bytes.size() < kReferredBytesMin) {
    for (const Bytes& piece : bytes.pieces()) head += piece.view;
  }
  slices.emplace_back(head.data(), head.size());
  if (bytes.size() >= kReferredBytesMin) {
    for (const Bytes& piece : bytes.pieces()) slices.push_back(slice_of(piece));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

// Gives the connection what a message holds; the slices are kept as long as parts of them are.
Status deliver(http2::Connection& connection, const grpc::ByteBuffer& message) {
  auto slices = std::make_shared<std::vector<grpc::Slice>>();
  if (message.Length() == 0) return ok();
  if (!message.Dump(slices.get()).ok()) return peer_error(Code::kInvalidArgument, "unreadable message of a session");
  Pieces pieces;
  for (const grpc::Slice& slice : *slices) {
    pieces.emplace_back(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  KILN_RETURN_IF_ERROR(bytes_of_message(pieces));
  std::vector<Bytes> bytes;
  bytes.reserve(pieces.size());
  for (std::string_view piece : pieces) bytes.push_back({piece, slices});
  connection.receive(bytes);
  return ok();
}

// What both reactors do. The reactor goes with its call; the connection may call until close().
class Call {
 public:
  virtual ~Call() = default;
  virtual void start_read() = 0;
  virtual void start_write() = 0;
  // No operation is started any more, none is under way but a read.
  virtual void finish() = 0;
  // Lets what is under way fail.
  virtual void abort() = 0;
  grpc::ByteBuffer in_, out_;
};

class CallCarrier final : public http2::Carrier {
 public:
  explicit CallCarrier(Call& call) : call_(&call) {}

  bool send(http2::ByteQueue bytes) override {
    std::lock_guard lock(mutex_);
    if (!call_ || closing_) return false;
    writing_ = true;
    call_->out_ = message_of_bytes(bytes);
    call_->start_write();
    return false;
  }

  void close() override {
    std::lock_guard lock(mutex_);
    if (closing_ || !call_) return;
    closing_ = true;
    if (writing_) {
      call_->abort();
    } else {
      call_->finish();
    }
  }

  void start_read() {
    std::lock_guard lock(mutex_);
    if (call_ && !closing_) call_->start_read();
  }

  // Whether the connection is to be told.
  bool written() {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (closing_ && call_) call_->finish();
    return !closing_;
  }

  // The call is over.
  void detach() {
    std::lock_guard lock(mutex_);
    call_ = nullptr;
  }

 private:
  std::recursive_mutex mutex_;  // gRPC may call back at once
  Call* call_;
  bool writing_ = false;
  bool closing_ = false;
};

// Parts of a reactor's life that do not depend on the end.
struct Carrying {
  std::shared_ptr<http2::Connection> connection;
  std::shared_ptr<CallCarrier> carrier;

  void on_read(bool good, const grpc::ByteBuffer& message) {
    Status delivered = good ? deliver(*connection, message) : peer_error(Code::kUnavailable, "the session has ended");
    if (!delivered.ok()) return connection->end(delivered);
    carrier->start_read();
  }
  void on_written(bool good) {
    if (!carrier->written()) return;
    if (good) {
      connection->sent();
    } else {
      connection->end(peer_error(Code::kUnavailable, "the session has ended"));
    }
  }
  void on_done() {
    carrier->detach();
    connection->end(peer_error(Code::kUnavailable, "the session has ended"));
  }
};

using ServerReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

class ServedCarrying final : public ServerReactor, public Call {
 public:
  ServedCarrying(std::shared_ptr<http2::Connection> connection, grpc::CallbackServerContext& context,
                 std::function<void()> done)
      : context_(context), done_(std::move(done)) {
    carrying_ = {std::move(connection), std::make_shared<CallCarrier>(*this)};
    StartSendInitialMetadata();
  }
  // Apart, because gRPC may call back before it returns.
  void start() {
    carrying_.connection->start(carrying_.carrier);
    carrying_.carrier->start_read();
  }

 private:
  void start_read() override { StartRead(&in_); }
  void start_write() override { StartWrite(&out_); }
  void finish() override { Finish(aborted_ ? grpc::Status::CANCELLED : grpc::Status::OK); }
  void abort() override {
    aborted_ = true;
    context_.TryCancel();
  }
  void OnReadDone(bool good) override { carrying_.on_read(good, in_); }
  void OnWriteDone(bool good) override { carrying_.on_written(good); }
  void OnCancel() override { carrying_.connection->end(cancelled("the session was cancelled")); }
  void OnDone() override {
    carrying_.on_done();
    if (done_) done_();
    delete this;
  }

  grpc::CallbackServerContext& context_;  // until OnDone
  bool aborted_ = false;
  Carrying carrying_;
  std::function<void()> done_;
};

class Refusal final : public ServerReactor {
 public:
  explicit Refusal(const Status& status) { Finish(to_grpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::Status to_grpc(const Status& status) {
  const http2::Outcome outcome = to_outcome(status);
  return grpc::Status(static_cast<grpc::StatusCode>(outcome.code), outcome.message, outcome.details);
}

ServerReactor* carry_served(std::shared_ptr<http2::Connection> connection, grpc::CallbackServerContext& context,
                            std::function<void()> done) {
  auto* reactor = new ServedCarrying(std::move(connection), context, std::move(done));  // goes in OnDone
  reactor->start();
  return reactor;
}

ServerReactor* refuse_served(const Status& status) { return new Refusal(status); }

}  // namespace kiln::session::internal
