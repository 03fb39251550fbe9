// The trees of steps that failed in a build, by id, so that a client may make containers of them and
// look around.
//
//   ports.on_exec_failure = [failed](auto&... about) { failed->keep(about...); };
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/vertex.h"
#include "store/tree.h"

namespace kiln::daemon {

// Lives as long as its build. Any thread.
class FailedTrees {
 public:
  // Keeps the trees and names them in the error's Solve detail, with the op that failed. A null tree
  // is named "". For op::OpPorts::on_exec_failure.
  void keep(const graph::Vertex& vertex, const std::vector<store::TreeRef>& inputs,
            const std::vector<store::TreeRef>& mounts, Status& error);
  // The same for an input whose content could not be made a key. For on_content_failure.
  void keep_unkeyed(const graph::Vertex& vertex, int input, const store::TreeRef& tree, Status& error);
  // Null when there is none of that id.
  store::TreeRef find(const std::string& id) const;

 private:
  std::string add(const store::TreeRef& tree);
  mutable std::mutex mutex_;
  std::map<std::string, store::TreeRef> trees_;
};

}  // namespace kiln::daemon
