// How much may be under way on a connection before its reader has taken it. gRPC finds that out by itself, with a ping
// after what it reads; each is answered through every tunnel on the way, and a small build has hardly more messages
// than that. Fixed windows of some megabytes fill any connection that Kiln meets (4 MB at 50 ms is 80 MB/s).
#pragma once

namespace grpc {
class ServerBuilder;
}  // namespace grpc

namespace kiln::session {

void use_fixed_windows(grpc::ServerBuilder& builder);

}  // namespace kiln::session
