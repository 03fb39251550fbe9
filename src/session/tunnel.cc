#include "session/tunnel.h"

#include <grpcpp/server_context.h>
#include <sys/socket.h>

#include "session/internal/call.h"
#include "session/internal/reactors.h"

namespace kiln::session {
namespace {

std::multimap<std::string, std::string> headers_of(grpc::CallbackServerContext& context) {
  std::multimap<std::string, std::string> out;
  for (const auto& [name, value] : context.client_metadata()) {
    out.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
  }
  return out;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* refuse(const Status& status) {
  return new internal::ServerStream(internal::to_grpc(status));
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* serve_session(Sessions& sessions,
                                                                            grpc::CallbackServerContext* context) {
  Result<Hello> hello = parse_hello(headers_of(*context));
  if (!hello.ok()) return refuse(hello.status());
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return refuse(errno_error(errno, "open a session"));
  }
  host::Fd ours(ends[0]), channels(ends[1]);
  Result<std::shared_ptr<Session>> session = sessions.attach(*std::move(hello), std::move(channels));
  if (!session.ok()) return refuse(session.status());
  return new internal::ServerStream(sessions.poller(), std::move(ours), [session = *session] { session->close(); });
}

}  // namespace kiln::session
