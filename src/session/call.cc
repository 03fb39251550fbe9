#include "session/internal/call.h"

#include "session/internal/connection.h"

namespace kiln::session::internal {
namespace {

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

http2::CallOptions wire_options(const CallOptions& options) { return {options.metadata, options.timeout}; }

}  // namespace

Status to_status(const http2::Outcome& outcome) {
  if (outcome.code == 0) return ok();
  const auto code = static_cast<Code>(outcome.code);
  // So servers of gRPC's C++, Go and our own answer to a service that nobody offers.
  const std::string_view words = outcome.message;
  const bool unknown = code == Code::kUnimplemented &&
                       (words.empty() || words.starts_with("unknown service ") || words.starts_with("unknown method "));
  Status out = make_error(fault_of_code(code), code, unknown ? "the client offers no such service" : outcome.message);
  if (!outcome.details.empty()) set_detail(out, kStatusDetails, outcome.details);
  return out;
}

http2::Outcome to_outcome(const Status& status) {
  if (status.ok()) return {};
  return {static_cast<int>(status.code()), std::string(message_of(status)),
          get_detail(status, kStatusDetails).value_or("")};
}

Status parse_message(const Pieces& pieces, google::protobuf::MessageLite& message) {
  const bool good = pieces.size() == 1 ? message.ParseFromArray(pieces[0].data(), static_cast<int>(pieces[0].size()))
                                       : message.ParseFromString(http2::flat(pieces));
  return good ? ok() : peer_error(Code::kInvalidArgument, "the other end of the session sent a malformed message");
}

Status ask(Session& session, const char* method, const CallOptions& options,
           const google::protobuf::MessageLite& question, google::protobuf::MessageLite& answer) {
  if (options.stop.stop_requested()) return cancelled();
  http2::Call call(*session.connection().calls, method, wire_options(options));
  std::stop_callback on_stop(options.stop, [&] { call.cancel(); });
  std::string bytes;
  const http2::Outcome outcome = call.ask(question.SerializeAsString(), bytes);
  if (outcome.code != 0 && options.stop.stop_requested()) return cancelled();
  KILN_RETURN_IF_ERROR(to_status(outcome));
  return parse_message({bytes}, answer);
}

TunnelCall::TunnelCall(Session& session, const char* method, const CallOptions& options)
    : stop_(options.stop),
      call_(*session.connection().calls, method, wire_options(options)),
      on_stop_(options.stop, std::function<void()>([this] { call_.cancel(); })) {}

Status TunnelCall::finish() {
  const http2::Outcome outcome = call_.finish();
  if (outcome.code != 0 && stop_.stop_requested()) return cancelled();
  return to_status(outcome);
}

}  // namespace kiln::session::internal
