// A tree of files as a tar stream, in the order of its walk.
#pragma once

#include <stop_token>

#include "base/stream.h"
#include "session/file_tree.h"

namespace kiln::exporter::internal {

// Blocking, cancellable. Sockets are left out.
Status write_files_tar(session::FileTree& files, ByteSink& sink, std::stop_token stop);

}  // namespace kiln::exporter::internal
