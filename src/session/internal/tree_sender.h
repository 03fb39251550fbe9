// The sending end of the sync protocol: tells every entry of a tree and answers requests for
// contents. The client uses it for contexts, the daemon for directory exports.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "session/file_tree.h"
#include "session/internal/packet_pipe.h"

namespace kiln::session::internal {

// Blocking. `cancel` ends the call, so that a reader in another thread comes back; it is called only
// after an error. `progress`: bytes sent so far, about ten times a second.
Status send_tree(PacketPipe& pipe, FileTree& tree, const std::function<void()>& cancel,
                 const std::function<void(std::int64_t bytes)>& progress, std::stop_token stop);

}  // namespace kiln::session::internal
