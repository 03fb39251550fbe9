// What gRPC and protobuf say of themselves goes through our log, as debug lines: they write to standard error, in a
// form of their own, and about what any client may send.
#pragma once

namespace kiln::daemon {

// Once, after set_log() and before threads start.
void take_library_logs();

}  // namespace kiln::daemon
