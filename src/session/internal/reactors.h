// The two ends of a call of byte messages as a pump's MessageStream. Both own themselves and go when
// their call is done.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "session/internal/pump.h"

namespace kiln::session::internal {

// Answers a call: give it to gRPC from the handler.
class ServerStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>, public MessageStream {
 public:
  // A stream that refuses at once.
  explicit ServerStream(const grpc::Status& refusal);
  // Pumps to the socket. `done` is called when the call has ended.
  ServerStream(std::shared_ptr<Poller> poller, host::Fd socket, std::function<void()> done);

 private:
  void start_read() override { StartRead(&in_); }
  void start_write(grpc::ByteBuffer message) override;
  void end_writes() override { Finish(grpc::Status::OK); }
  void release() override {}
  void cancel() override;
  bool over_with_reads() const override { return false; }
  void OnReadDone(bool good) override;
  void OnWriteDone(bool good) override;
  void OnCancel() override;
  void OnDone() override;

  std::shared_ptr<Pump> pump_;
  std::function<void()> done_;
  grpc::ByteBuffer in_, out_;
};

// Makes a call. `method` is the whole path.
class ClientStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>, public MessageStream {
 public:
  // Starts; gives the pump, by which the call can be aborted. `done` hears the call's status.
  static std::shared_ptr<Pump> start(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                                     const std::vector<std::pair<std::string, std::string>>& metadata,
                                     std::shared_ptr<Poller> poller, host::Fd socket,
                                     std::function<void(const grpc::Status&)> done);

 private:
  void start_read() override { StartRead(&in_); }
  void start_write(grpc::ByteBuffer message) override;
  void end_writes() override { StartWritesDone(); }
  void release() override { RemoveHold(); }
  void cancel() override { context_.TryCancel(); }
  bool over_with_reads() const override { return true; }
  void OnReadDone(bool good) override { pump_->on_read(good, in_); }
  void OnWriteDone(bool good) override { pump_->on_written(good); }
  void OnDone(const grpc::Status& status) override;

  std::string method_;
  grpc::ClientContext context_;
  std::shared_ptr<Pump> pump_;
  std::function<void(const grpc::Status&)> done_;
  grpc::ByteBuffer in_, out_;
};

}  // namespace kiln::session::internal
