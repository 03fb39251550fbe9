#include "session/internal/call.h"
#include "session/internal/reactors.h"

#include <grpcpp/generic/generic_stub.h>

#include "base/log.h"

namespace kiln::session::internal {

ServerStream::ServerStream(const grpc::Status& refusal) { Finish(refusal); }

ServerStream::ServerStream(std::shared_ptr<Poller> poller, host::Fd socket, std::function<void()> done)
    : pump_(std::make_shared<Pump>(std::move(poller), std::move(socket), *this)), done_(std::move(done)) {
  StartSendInitialMetadata();
  if (Status started = pump_->start(); !started.ok()) {
    Finish(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, std::string(message_of(started))));
  }
}

void ServerStream::start_write(grpc::ByteBuffer message) {
  out_.Swap(&message);
  StartWrite(&out_);
}

// A server cannot end a call while the pump may still start operations; the pump's socket is shut
// instead, and its end finishes the call.
void ServerStream::cancel() {}

void ServerStream::OnReadDone(bool good) {
  if (pump_) pump_->on_read(good, in_);
}

void ServerStream::OnWriteDone(bool good) {
  if (pump_) pump_->on_written(good);
}

void ServerStream::OnCancel() {
  if (pump_) pump_->abort();
}

void ServerStream::OnDone() {
  if (pump_) pump_->on_done();
  if (done_) done_();
  delete this;
}

std::shared_ptr<Pump> ClientStream::start(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                                          const std::vector<std::pair<std::string, std::string>>& metadata,
                                          std::shared_ptr<Poller> poller, host::Fd socket,
                                          std::function<void(const grpc::Status&)> done) {
  auto* stream = new ClientStream;  // goes in OnDone
  stream->method_ = method;
  stream->done_ = std::move(done);
  for (const auto& [name, value] : metadata) stream->context_.AddMetadata(name, internal::header_value(value));
  auto pump = std::make_shared<Pump>(std::move(poller), std::move(socket), *stream);
  stream->pump_ = pump;
  grpc::GenericStub stub(channel);
  stub.PrepareBidiStreamingCall(&stream->context_, stream->method_, grpc::StubOptions(), stream);
  stream->AddHold();
  if (Status started = pump->start(); !started.ok()) {
    log_warn("{}", message_of(started));
    stream->context_.TryCancel();
    stream->RemoveHold();
  }
  stream->StartCall();
  return pump;
}

void ClientStream::start_write(grpc::ByteBuffer message) {
  out_.Swap(&message);
  StartWrite(&out_);
}

void ClientStream::OnDone(const grpc::Status& status) {
  pump_->on_done();
  if (done_) done_(status);
  delete this;
}

}  // namespace kiln::session::internal
