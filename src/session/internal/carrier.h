// The session's tunnel on the daemon's end where gRPC's library hears the client: a call whose messages of
// bytes carry an HTTP/2 connection (nested_carrier.h where it does not).
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>

#include "http2/connection.h"
#include "session/internal/call.h"

namespace kiln::session::internal {

grpc::Status to_grpc(const Status& status);

// Give it to gRPC from the handler; it owns itself. `done` hears that the call has ended.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* carry_served(std::shared_ptr<http2::Connection> connection,
                                                                          grpc::CallbackServerContext& context,
                                                                          std::function<void()> done);
// One that refuses at once.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* refuse_served(const Status& status);

}  // namespace kiln::session::internal
