// What a killed daemon left: directories and digest files without a record.
#include <unordered_set>

#include "base/log.h"
#include "host/fs.h"
#include "store/internal/state.h"

namespace kiln::store {

void TreesState::in_background(std::function<void()> work) {
  if (!options.pool) return work();
  {
    std::lock_guard lock(mutex);
    ++background;
  }
  options.pool->submit([this, work = std::move(work)] {
    work();
    std::lock_guard lock(mutex);
    --background;
    swept.notify_all();
  });
}

void TreesState::sweep(const std::vector<std::string>& present) {
  Result<std::vector<std::string>> known = records->snapshots();
  if (!known.ok()) return log_warn("sweep of left-over snapshots: {}", message_of(known.status()));
  std::unordered_set<std::string> named(known->begin(), known->end());
  int removed = 0;
  for (const std::string& id : present) {
    if (closing.stop_requested()) return;
    if (named.contains(id)) continue;
    if (Status status = snapshotter->remove(id); !status.ok()) {
      log_warn("left-over snapshot '{}': {}", id, message_of(status));
    } else {
      ++removed;
    }
  }
  if (removed > 0) log_info("removed {} left-over snapshots", removed);
  Result<std::vector<std::string>> files = host::list_dir(options.root + "/digests");
  if (!files.ok()) return;
  for (const std::string& name : *files) {
    if (closing.stop_requested()) return;
    Result<bool> there = records->exists(name);
    if (!named.contains(name) && there.ok() && !*there) (void)host::remove_all(options.root + "/digests/" + name);
  }
}

}  // namespace kiln::store
