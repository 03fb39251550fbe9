// What a killed daemon left: directories, digest files and blobs without a record.
#include <sys/stat.h>

#include "base/log.h"
#include "base/timestamp.h"
#include "host/fs.h"
#include "store/internal/state.h"

namespace kiln::store {
namespace {

bool is_younger(const std::string& path, Time than) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return false;
  return timestamp(info.st_mtim.tv_sec, info.st_mtim.tv_nsec) >= than;
}

}  // namespace

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
    // One that is being saved lies there under another name until it is whole.
    const std::string path = options.root + "/digests/" + name;
    if (left_over(name) && !is_younger(path, opened)) (void)host::remove_all(path);
  }
  sweep_blobs();
}

// Blobs that were written but not recorded when the daemon ended. Younger ones belong to those who
// are at work now and may be about to record them.
void TreesState::sweep_blobs() {
  int removed = 0;
  Status done = options.blobs->walk([&](const content::BlobInfo& blob) -> Status {
    if (closing.stop_requested()) return cancelled();
    if (blob.created >= opened) return ok();
    std::lock_guard making(from_blob_mutex);
    KILN_ASSIGN_OR_RETURN(bool named, records->names_blob(blob.digest));
    if (named) return ok();
    ++removed;
    return options.blobs->remove(blob.digest);
  });
  if (!done.ok() && !is_cancelled(done)) log_warn("sweep of left-over blobs: {}", message_of(done));
  if (removed > 0) log_info("removed {} left-over blobs", removed);
}

}  // namespace kiln::store
