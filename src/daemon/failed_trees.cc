#include "daemon/failed_trees.h"

#include "daemon/status_wire.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {

void FailedTrees::keep(const graph::Vertex& vertex, const std::vector<store::TreeRef>& inputs,
                       const std::vector<store::TreeRef>& mounts, Status& error) {
  errdefs::Solve detail;
  detail.mutable_op()->ParseFromString(vertex.bytes);
  for (const auto& [key, value] : vertex.metadata.description) (*detail.mutable_description())[key] = value;
  std::lock_guard lock(mutex_);
  const auto id_of = [&](const store::TreeRef& tree) {
    if (tree == nullptr) return std::string();
    trees_.emplace(tree->id(), tree);
    return tree->id();
  };
  for (const store::TreeRef& tree : inputs) detail.add_inputids(id_of(tree));
  for (const store::TreeRef& tree : mounts) detail.add_mountids(id_of(tree));
  set_detail(error, kDetailSolve, detail.SerializeAsString());
}

store::TreeRef FailedTrees::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto it = trees_.find(id);
  return it == trees_.end() ? nullptr : it->second;
}

}  // namespace kiln::daemon
