// The session's tunnel: a call of gRPC whose messages of bytes carry an HTTP/2 connection. Both ends.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>

#include "http2/connection.h"
#include "session/internal/call.h"

namespace kiln::session::internal {

// gRPC's statuses as ours, and back.
Status from_grpc(const grpc::Status& status);
grpc::Status to_grpc(const Status& status);

// The daemon's end: give it to gRPC from the handler; it owns itself. `done` hears that the call has ended.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* carry_served(std::shared_ptr<http2::Connection> connection,
                                                                          grpc::CallbackServerContext& context,
                                                                          std::function<void()> done);
// One that refuses at once.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* refuse_served(const Status& status);

// The client's end: makes the call `method`. `done` hears its status. The call ends with the connection.
void carry_called(std::shared_ptr<http2::Connection> connection, const std::shared_ptr<grpc::Channel>& channel,
                  const std::string& method, const Metadata& metadata, std::function<void(const Status&)> done);

}  // namespace kiln::session::internal
