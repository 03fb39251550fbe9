// Control.Session on the daemon's side: a bidirectional call of byte messages inside of which the
// client's own gRPC server is reached. Only the daemon's Control service includes this; it is the
// one header of the room that names gRPC types (by forward declaration).
//
//   class Control : public moby::buildkit::v1::Control::WithRawCallbackMethod_Session<…> {
//     grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Session(
//         grpc::CallbackServerContext* context) override { return serve_session(sessions_, context); }
//   };
//
// What a message holds is given to the connection inside (http2/connection.h) by gRPC's callback; an idle
// session costs no thread and no descriptor. One message to the client is under way, so a slow client
// holds back who writes to it.
#pragma once

#include "session/session.h"

namespace grpc {
class ByteBuffer;
class CallbackServerContext;
template <class Request, class Response>
class ServerBidiReactor;
}  // namespace grpc

namespace kiln::http2 {
class Stream;
}

namespace kiln::session {

inline constexpr const char* kSessionMethod = "/moby.buildkit.v1.Control/Session";

// Attaches the caller as a session and serves until one side ends. Owns itself. The registry must
// outlive the server.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* serve_session(Sessions& sessions,
                                                                           grpc::CallbackServerContext* context);
// The same for a call that did not come through gRPC's library.
void serve_session(Sessions& sessions, std::shared_ptr<http2::Stream> stream);

}  // namespace kiln::session
