#include "registry/push_memory.h"

#include <utility>

namespace kiln::registry {

void PushMemory::remember(const std::string& repository, Standing pushed) {
  if (pushed.manifest.empty() || pushed.blobs.size() > kBlobsMax) return;
  std::lock_guard guard(mutex_);
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.repository == repository && entry.pushed.manifest == pushed.manifest;
  });
  entries_.push_front({repository, std::move(pushed)});
  trim();
}

void PushMemory::trim() {
  std::erase_if(entries_, [&](const Entry& entry) { return !is_fresh(entry); });
  std::size_t held = 0;
  for (auto it = entries_.begin(); it != entries_.end();) {
    held += it->pushed.blobs.size() + 1;
    it = held > kBlobsMax ? entries_.erase(it) : std::next(it);
  }
}

void PushMemory::forget(const std::string& repository, const Digest& blob) {
  std::lock_guard guard(mutex_);
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.repository == repository && entry.pushed.blobs.contains(blob);
  });
}

void PushMemory::forget(const std::string& repository) {
  std::lock_guard guard(mutex_);
  std::erase_if(entries_, [&](const Entry& entry) { return entry.repository == repository; });
}

bool PushMemory::knows(const std::string& repository) {
  std::lock_guard guard(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.repository == repository && is_fresh(entry)) return true;
  }
  return false;
}

Standing PushMemory::find(const std::string& repository, const Digest& manifest) {
  std::lock_guard guard(mutex_);
  for (const Entry& entry : entries_) {
    if (entry.repository == repository && entry.pushed.manifest == manifest && is_fresh(entry)) return entry.pushed;
  }
  return {};
}

}  // namespace kiln::registry
