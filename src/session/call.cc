#include "session/internal/call.h"

#include <grpcpp/impl/rpc_method.h>

#include "session/internal/connection.h"

namespace kiln::session::internal {
namespace {

void prepare(grpc::ClientContext& context, const CallOptions& options) {
  for (const auto& [name, value] : options.metadata) context.AddMetadata(name, header_value(value));
  if (options.timeout.count() > 0) context.set_deadline(std::chrono::system_clock::now() + options.timeout);
}

Fault fault_of_code(Code code) {
  switch (code) {
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kInvalidArgument:
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
    case Code::kFailedPrecondition: return Fault::kUser;
    default: return Fault::kPeer;
  }
}

}  // namespace

std::string header_value(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Status from_grpc(const grpc::Status& status) {
  if (status.ok()) return ok();
  auto code = static_cast<Code>(status.error_code());
  // gRPC's own servers answer so to a service that nobody offers.
  const bool unknown = code == Code::kUnimplemented && status.error_message().empty();
  Status out = make_error(fault_of_code(code), code,
                          unknown ? "the client offers no such service" : status.error_message());
  if (!status.error_details().empty()) set_detail(out, kStatusDetails, status.error_details());
  return out;
}

grpc::Status to_grpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(message_of(status)),
                      get_detail(status, kStatusDetails).value_or(""));
}

Status call_unary(const CallOptions& options, const std::function<grpc::Status(grpc::ClientContext&)>& call) {
  if (options.stop.stop_requested()) return cancelled();
  grpc::ClientContext context;
  prepare(context, options);
  std::stop_callback on_stop(options.stop, [&] { context.TryCancel(); });
  grpc::Status status = call(context);
  if (!status.ok() && options.stop.stop_requested()) return cancelled();
  return from_grpc(status);
}

const std::shared_ptr<grpc::Channel>& channel_of(Session& session) { return session.connection().channel; }

RawCall::RawCall(Session& session, const char* method, const CallOptions& options)
    : stop_(options.stop), on_stop_(options.stop, std::function<void()>([this] { context_.TryCancel(); })) {
  prepare(context_, options);
  stream_.reset(grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
      channel_of(session).get(),
      grpc::internal::RpcMethod(method, nullptr, grpc::internal::RpcMethod::BIDI_STREAMING), &context_));
}

RawCall::~RawCall() {
  if (finished_) return;
  context_.TryCancel();
  grpc::ByteBuffer ignored;
  while (stream_->Read(&ignored)) {
  }
  (void)stream_->Finish();
}

bool RawCall::write(const grpc::ByteBuffer& message, Flush flush) {
  grpc::WriteOptions options;
  if (flush == Flush::kLater) options.set_buffer_hint();
  return stream_->Write(message, options);
}

Status RawCall::finish() {
  finished_ = true;
  grpc::Status status = stream_->Finish();
  if (!status.ok() && stop_.stop_requested()) return cancelled();
  return from_grpc(status);
}

}  // namespace kiln::session::internal
