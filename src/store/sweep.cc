// What a killed daemon left: directories and digest files without a record.
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

void TreesState::sweep() {
  Result<std::vector<std::string>> present = snapshotter->list();
  if (!present.ok()) return log_warn("sweep of left-over snapshots: {}", message_of(present.status()));
  auto left_over = [&](const std::string& id) {
    {
      std::lock_guard lock(mutex);
      if (making.contains(id) || writing.contains(id)) return false;
    }
    // Whoever is not making it any more has recorded it by now, or never will.
    Result<bool> named = records->names_snapshot(id);
    return named.ok() && !*named;
  };
  int removed = 0;
  for (const std::string& id : *present) {
    if (closing.stop_requested()) return;
    if (!left_over(id)) continue;
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
    if (left_over(name)) (void)host::remove_all(options.root + "/digests/" + name);
  }
}

}  // namespace kiln::store
