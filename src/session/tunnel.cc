#include "session/tunnel.h"

#include <grpcpp/server_context.h>

#include "http2/served_call.h"
#include "session/internal/carrier.h"
#include "session/internal/nested_carrier.h"

namespace kiln::session {
namespace {

std::multimap<std::string, std::string> headers_of(grpc::CallbackServerContext& context) {
  std::multimap<std::string, std::string> out;
  for (const auto& [name, value] : context.client_metadata()) {
    out.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
  }
  return out;
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* serve_session(Sessions& sessions,
                                                                           grpc::CallbackServerContext* context) {
  Result<Hello> hello = parse_hello(headers_of(*context));
  if (!hello.ok()) return internal::refuse_served(hello.status());
  auto connection = http2::Connection::client();
  Result<std::shared_ptr<Session>> session = sessions.attach(*std::move(hello), connection);
  if (!session.ok()) return internal::refuse_served(session.status());
  return internal::carry_served(std::move(connection), *context, [session = *session] { session->close(); });
}

void serve_session(Sessions& sessions, std::shared_ptr<http2::Stream> stream) {
  auto call = std::make_shared<http2::ServedCall>(std::move(stream));
  Result<Hello> hello = parse_hello({call->metadata().begin(), call->metadata().end()});
  if (!hello.ok()) return call->finish(internal::to_outcome(hello.status()));
  auto connection = http2::Connection::client();
  Result<std::shared_ptr<Session>> session = sessions.attach(*std::move(hello), connection);
  if (!session.ok()) return call->finish(internal::to_outcome(session.status()));
  call->begin();
  internal::carry_nested(
      call->stream(), std::move(connection), [call] { call->finish({}); }, [session = *session] { session->close(); });
}

}  // namespace kiln::session
