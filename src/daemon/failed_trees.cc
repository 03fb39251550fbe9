#include "daemon/failed_trees.h"

#include "base/value.h"
#include "daemon/status_wire.h"
#include "op/op_factory.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {

namespace {

errdefs::Solve detail_of(const graph::Vertex& vertex) {
  errdefs::Solve detail;
  detail.mutable_op()->ParseFromString(vertex.bytes);
  for (const auto& [key, value] : vertex.metadata.description) (*detail.mutable_description())[key] = value;
  return detail;
}

}  // namespace

std::string FailedTrees::add(const store::TreeRef& tree) {
  if (tree == nullptr) return std::string();
  std::lock_guard lock(mutex_);
  trees_.emplace(tree->id(), tree);
  return tree->id();
}

void FailedTrees::keep_unkeyed(const graph::Vertex& vertex, int input, const store::TreeRef& tree, Status& error) {
  errdefs::Solve detail = detail_of(vertex);
  detail.add_inputids(add(tree));
  detail.mutable_cache()->set_index(input);
  set_detail(error, kDetailSolve, detail.SerializeAsString());
}

void FailedTrees::keep(const graph::Vertex& vertex, const std::vector<store::TreeRef>& inputs,
                       const std::vector<store::TreeRef>& mounts, Status& error) {
  errdefs::Solve detail = detail_of(vertex);
  for (const store::TreeRef& tree : inputs) detail.add_inputids(add(tree));
  for (const store::TreeRef& tree : mounts) detail.add_mountids(add(tree));
  if (std::optional<std::string> action = get_detail(error, op::kFileActionDetail)) {
    detail.mutable_file()->set_index(parse_integer(*action).value_or(0));
  }
  set_detail(error, kDetailSolve, detail.SerializeAsString());
}

store::TreeRef FailedTrees::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto it = trees_.find(id);
  return it == trees_.end() ? nullptr : it->second;
}

}  // namespace kiln::daemon
