// Chains longer than what one overlay mount takes. The kernel stacks at most 500 lower directories; of a
// longer chain, groups of neighbours from the bottom up are each written as one directory that shows, to
// whoever stacks it, what the group shows: hard links to the files of the snapshots, so that it costs no
// more than their names. A file of such a group has a link count above one.
//
//   KILN_ASSIGN_OR_RETURN(std::vector<std::string> lowers, stacks.lower_dirs(chain, directory_of));
//
// Groups are aligned to the bottom, so that every chain with the same beginning shares them, and each
// snapshot is written once. They are a memory of this process: at the start those of an earlier one go.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "snapshot/snapshotter.h"

namespace kiln::snapshot {

// Fills the empty directory `out`, so that it shows what `layers` (directories in overlay's upper format,
// top first) show together, on whatever it is stacked. Must lie on the file system of the layers, or the
// files are copied.
Status write_stack(const std::vector<std::string>& layers, const std::string& out, bool user_xattrs);

// Any thread; one group is written at a time. Whoever asks for a chain holds its snapshots meanwhile and
// as long as it has it mounted.
class Stacks {
 public:
  // `dir` need not exist; what it holds is removed.
  static Result<std::unique_ptr<Stacks>> open(std::string dir, bool user_xattrs);
  using DirectoryOf = std::function<std::string(const std::string& id)>;
  // The directories to be stacked, lowest first; of short chains simply those of the snapshots.
  Result<std::vector<std::string>> lower_dirs(const Chain& chain, const DirectoryOf& directory_of);
  // Before a snapshot is removed: so are the groups it belongs to.
  Status forget(const std::string& id);

 private:
  Stacks(std::string dir, bool user_xattrs) : dir_(std::move(dir)), user_xattrs_(user_xattrs) {}
  Result<std::string> group(const Chain& ids, const DirectoryOf& directory_of);

  const std::string dir_;
  const bool user_xattrs_;
  std::mutex mutex_;
  std::multimap<std::string, std::string> groups_of_;  // snapshot id → directory of the group
};

}  // namespace kiln::snapshot
