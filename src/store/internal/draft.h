// A snapshot on its way to becoming a record's.
#pragma once

#include <string>

#include "base/id.h"
#include "store/internal/state.h"

namespace kiln::store {

// The directory of a snapshot being filled; removed again unless published. Registered meanwhile, so
// that the sweep does not take it for a leftover.
class Draft {
 public:
  explicit Draft(TreesState& state) : state_(state), id_(new_id()) {
    std::lock_guard lock(state_.mutex);
    state_.making.insert(id_);
  }
  ~Draft() {
    if (!published_) (void)state_.snapshotter->remove(id_);
    std::lock_guard lock(state_.mutex);
    state_.making.erase(id_);
  }
  const std::string& id() const { return id_; }
  Status publish(const TreeRef& unit) {
    KILN_RETURN_IF_ERROR(state_.publish_snapshot(unit, id_));
    published_ = true;
    return ok();
  }

 private:
  TreesState& state_;
  std::string id_;
  bool published_ = false;
};

}  // namespace kiln::store
