#include "session/windows.h"

#include <grpcpp/server_builder.h>

namespace kiln::session {
namespace {
constexpr int kWindowBytes = 4 << 20;
}  // namespace

void use_fixed_windows(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
}

}  // namespace kiln::session
