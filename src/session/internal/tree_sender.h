// The sending end of the sync protocol: tells every entry of a tree and answers requests for
// contents. The client uses it for contexts, the daemon for directory exports.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "session/file_tree.h"
#include "session/internal/packet_pipe.h"

namespace kiln::session::internal {

// Whether large files may be handed over open instead of being read here.
enum class PassFiles { kNo, kYes };

struct SendOptions {
  PassFiles pass_files = PassFiles::kNo;
  std::function<void(std::int64_t bytes)> progress;  // bytes sent so far, about ten times a second; may be null
  // Ends the call, so that a reader in another thread comes back; called only after an error.
  std::function<void()> cancel;
};

// Blocking.
Status send_tree(PacketPipe& pipe, FileTree& tree, const SendOptions& options, std::stop_token stop);

}  // namespace kiln::session::internal
