// What a TLS server is made of: its certificate, its key, and whom it believes. Read and checked before the daemon
// listens, because the library that serves them tells of faults only by refusing every client.
#pragma once

#include <string>

#include "base/status.h"

namespace kiln::daemon {

struct TlsConfig;

// The texts of the files that `tls` names; `ca` is empty when it names none.
struct TlsFiles {
  std::string cert, key, ca;
};
// Blocks on the disk. The user's fault, with the file named, when one is missing or is not what it should be, or when
// key and certificate do not belong together.
Result<TlsFiles> read_tls_files(const TlsConfig& tls);

}  // namespace kiln::daemon
