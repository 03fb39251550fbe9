// The trees behind cache mounts: kept by the store under a name, used by one step at a time (locked,
// private) or by many at once (shared).
//
//   KILN_ASSIGN_OR_RETURN(auto mount, mounts->get(trees, {.key = …, .sharing = …}, stop));
//   mount->tree().mount()
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "graph/op.h"
#include "host/fs.h"
#include "host/mount.h"
#include "store/trees.h"

namespace kiln::op {

class CacheMounts;

// A cache mount in use; the last holder gives the tree back to the store. Any thread may hold it;
// the tree's own functions are called under `guard`.
class CacheMount {
 public:
  CacheMount(std::shared_ptr<CacheMounts> home, store::MutableRef tree);
  ~CacheMount();
  CacheMount(const CacheMount&) = delete;
  CacheMount& operator=(const CacheMount&) = delete;
  Result<host::MountSpec> mount() { return bind(Access::kWrite); }
  Result<host::MountSpec> mount_readonly() { return bind(Access::kRead); }

 private:
  enum class Access { kRead, kWrite };
  Result<host::MountSpec> bind(Access access);

  std::shared_ptr<CacheMounts> home_;
  std::mutex guard_;
  store::MutableRef tree_;
  // A tree of several layers is mounted once, here; steps get binds of it, since the kernel lets
  // nobody write into one layer through two mounts.
  host::TempDir place_;
  host::Mount mounted_;
};

struct CacheMountRequest {
  std::string id;
  graph::CacheSharing sharing = graph::CacheSharing::kShared;
  store::TreeRef initial;  // contents of a new one; null: empty
  std::string description;
};

// One a daemon: two builds meet in a shared mount through it. Any thread.
class CacheMounts : public std::enable_shared_from_this<CacheMounts> {
 public:
  static std::shared_ptr<CacheMounts> make() { return std::make_shared<CacheMounts>(); }
  // Locked: waits while another step has the only one; cancellable.
  Result<std::shared_ptr<CacheMount>> get(store::Trees& trees, const CacheMountRequest& request, std::stop_token stop);

  // The next step that asks for a mount of that id gets a new one: a build without cache begins with
  // empty cache mounts. Trees in use stay with those who use them.
  Status forget(store::Trees& trees, const std::string& id);

 private:
  friend class CacheMount;
  struct Slot {
    std::mutex mutex;  // finding and making go one after the other
    std::weak_ptr<CacheMount> shared;
  };
  Result<std::shared_ptr<CacheMount>> find_or_make(store::Trees& trees, const CacheMountRequest& request,
                                                   const std::string& key, std::stop_token stop, bool& busy);
  void given_back();

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::shared_ptr<Slot>> slots_;
};

}  // namespace kiln::op
