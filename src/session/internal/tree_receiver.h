// The receiving end of the sync protocol. Both the daemon (a build context) and the client (a
// directory export) use it.
//
// One thread does it all: it reads packets, compares each stat with what the directory has, asks for
// the contents of what differs, and writes contents as they come. At most kRequestsMax requests are
// unanswered, so that writing one never waits for the other end while that waits for us.
#pragma once

#include <functional>
#include <stop_token>
#include <string_view>

#include "session/files.h"
#include "session/internal/packet_pipe.h"

namespace kiln::session::internal {

struct ReceiveOptions {
  Differ differ = Differ::kMetadata;
  // Only entries for which it is true are written, and all are listed in ".fsutil-metadata".
  std::function<bool(std::string_view path)> metadata_only;
};

// Blocking; the caller cancels the call when the stop token asks for it, too. An error of ours has
// been told to the other end. After success the pipe has been read to its end.
Result<SyncOutcome> receive_tree(PacketPipe& pipe, const SyncTarget& target, const ReceiveOptions& options,
                                 std::stop_token stop);

}  // namespace kiln::session::internal
