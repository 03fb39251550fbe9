#include "op/cache_mounts.h"

#include <chrono>

namespace kiln::op {
namespace {

// A tree may also be in use by a prune, which tells nobody when it is done.
constexpr std::chrono::milliseconds kLookAgain{100};

std::string index_key(const CacheMountRequest& request) {
  std::string key = "cache-dir:" + request.id;
  if (request.initial) key += ":" + request.initial->id();
  return key;
}

}  // namespace

CacheMount::CacheMount(std::shared_ptr<CacheMounts> home, store::MutableRef tree)
    : home_(std::move(home)), tree_(std::move(tree)) {}

CacheMount::~CacheMount() {
  (void)mounted_.close();
  tree_.reset();
  home_->given_back();
}

Result<host::MountSpec> CacheMount::bind(Access access) {
  std::lock_guard lock(guard_);
  if (!mounted_.active()) {
    KILN_ASSIGN_OR_RETURN(host::MountSpec spec, tree_->mount());
    if (spec.type == "bind") return access == Access::kRead ? tree_->mount_readonly() : spec;
    KILN_ASSIGN_OR_RETURN(place_, host::TempDir::make("kiln-cache-mount-"));
    KILN_ASSIGN_OR_RETURN(mounted_, host::Mount::at(spec, place_.path()));
  }
  host::MountSpec bound{"bind", mounted_.target(), {"rbind"}};
  if (access == Access::kRead) bound.options.push_back("ro");
  return bound;
}

void CacheMounts::given_back() {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

Result<std::shared_ptr<CacheMount>> CacheMounts::get(store::Trees& trees, const CacheMountRequest& request,
                                                     std::stop_token stop) {
  const std::string key = index_key(request);
  std::shared_ptr<Slot> slot;
  {
    std::lock_guard lock(mutex_);
    std::shared_ptr<Slot>& place = slots_[key];
    if (!place) place = std::make_shared<Slot>();
    slot = place;
  }
  for (;;) {
    bool busy = false;
    {
      std::lock_guard lock(slot->mutex);
      const bool shared = request.sharing == graph::CacheSharing::kShared;
      if (shared) {
        if (std::shared_ptr<CacheMount> mount = slot->shared.lock()) return mount;
      }
      KILN_ASSIGN_OR_RETURN(std::shared_ptr<CacheMount> mount, find_or_make(trees, request, key, stop, busy));
      if (!busy) {
        if (shared) slot->shared = mount;
        return mount;
      }
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kLookAgain, [] { return false; });
    if (stop.stop_requested()) return cancelled();
  }
}

Status CacheMounts::forget(store::Trees& trees, const std::string& id) {
  const std::string plain = index_key({.id = id});
  std::map<std::string, std::shared_ptr<Slot>> found{{plain, nullptr}};
  {
    std::lock_guard lock(mutex_);
    // Mounts that began as a tree have its id behind theirs.
    for (const auto& [key, slot] : slots_) {
      if (key == plain || key.starts_with(plain + ":")) found[key] = slot;
    }
  }
  for (const auto& [key, slot] : found) {
    std::unique_lock<std::mutex> lock;
    if (slot) {
      lock = std::unique_lock(slot->mutex);
      slot->shared.reset();
    }
    while (true) {
      KILN_ASSIGN_OR_RETURN(store::MutableRef tree, trees.take(key));
      if (!tree) break;
      tree->discard();
    }
  }
  return ok();
}

Result<std::shared_ptr<CacheMount>> CacheMounts::find_or_make(store::Trees& trees, const CacheMountRequest& request,
                                                              const std::string& key, std::stop_token stop,
                                                              bool& busy) {
  KILN_ASSIGN_OR_RETURN(store::MutableRef tree, trees.take(key));
  if (!tree && request.sharing == graph::CacheSharing::kLocked) {
    KILN_ASSIGN_OR_RETURN(const int kept, trees.count_kept(key));
    busy = kept > 0;
    if (busy) return std::shared_ptr<CacheMount>();
  }
  if (!tree) {
    KILN_ASSIGN_OR_RETURN(
        tree, trees.make_mutable(request.initial,
                                 {.description = request.description, .type = store::RecordType::kCacheMount}, stop));
    KILN_RETURN_IF_ERROR(tree->keep(key));
  }
  return std::make_shared<CacheMount>(shared_from_this(), std::move(tree));
}

}  // namespace kiln::op
