// A result's tree as files that go to a client: times set to the epoch, attestations beside the files
// (EX-038 to EX-043, AT-004).
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "export/exporter.h"
#include "export/internal/attrs.h"
#include "export/internal/platforms.h"
#include "session/file_tree.h"

namespace kiln::exporter::internal {

struct TreeOptions {
  Epoch epoch;
  std::string attestation_prefix;
  std::optional<bool> platform_split;
  bool delete_others = false;  // mode=delete, for "local"

  // Takes what it knows out of `attrs`; the rest is nobody's and is ignored, as clients expect.
  static Result<TreeOptions> take(Attrs& attrs);
  bool splits(bool is_map) const { return platform_split.value_or(is_map); }
};

// One platform's files; keeps the tree open.
struct PlatformFiles {
  std::string id;
  session::FileStat folder;  // "linux_arm64", for split exports
  std::shared_ptr<session::FileTree> files;
  std::shared_ptr<store::OpenTree> held;
};

// Every platform of the result. Blocking, cancellable; attested files are read and hashed.
Result<std::vector<PlatformFiles>> files_of(const BuildResult& result, const TreeOptions& options,
                                            const ExportPorts& ports, std::stop_token stop);

// Several trees as one; an entry of a later tree hides one of the same path before it.
std::shared_ptr<session::FileTree> merged_files(std::vector<std::shared_ptr<session::FileTree>> trees);

}  // namespace kiln::exporter::internal
