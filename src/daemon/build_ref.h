// A tree of a build as its frontend holds it: a vertex of a graph, solved when first looked into.
#pragma once

#include <future>
#include <memory>
#include <mutex>
#include <optional>

#include "daemon/request_scope.h"
#include "frontend/bridge.h"
#include "graph/vertex.h"
#include "solve/solver.h"
#include "store/trees.h"

namespace kiln::daemon {

// Adds to an error what clients show with it: the failing vertex, and where it stands in its source.
Status with_source(const Status& status, const graph::Graph& graph);

// The definition of a graph's result; the empty one for the empty tree.
Result<graph::Definition> result_definition(const graph::Graph& graph);

// What a ref needs of its build; shared by all refs of the build.
struct RefContext {
  std::shared_ptr<solve::Job> job;
  store::Trees* trees = nullptr;
  // Ready once the caches that the build imports were read; not valid: there are none. A graph that a
  // cache may answer waits for it.
  std::shared_future<void> imports;
};

// Any thread.
class BuildRef final : public frontend::Ref {
 public:
  // `scope`: the call that the graph was made in.
  BuildRef(std::shared_ptr<const RefContext> context, std::shared_ptr<const graph::Graph> graph, solve::Edge edge,
           std::shared_ptr<RequestScope> scope)
      : context_(std::move(context)), graph_(std::move(graph)), edge_(std::move(edge)), scope_(std::move(scope)) {}

  Status evaluate(std::stop_token stop) override;
  Result<std::string> read_file(const frontend::ReadRequest& request, std::stop_token stop) override;
  Result<std::vector<frontend::FileStat>> read_dir(const std::string& path, const std::string& include_pattern,
                                                   std::stop_token stop) override;
  Result<frontend::FileStat> stat_file(const std::string& path, std::stop_token stop) override;
  Result<graph::Definition> definition() override;

  // The tree and the keys it is known under; solves first when that is due. Blocking.
  Result<solve::Solved> solved(std::stop_token stop);
  // The solved tree needed a layer that is out of reach: solves again if it is part of it. Tells
  // whether what solved() gives has changed.
  bool solve_without(const std::string& lost_layer, std::stop_token stop);
  const std::shared_ptr<const graph::Graph>& graph() const { return graph_; }
  const std::shared_ptr<RequestScope>& scope() const { return scope_; }
  const solve::Edge& edge() const { return edge_; }

 private:
  Result<store::OpenTree> open(std::stop_token stop);

  std::shared_ptr<const RefContext> context_;
  std::shared_ptr<const graph::Graph> graph_;
  solve::Edge edge_;
  std::shared_ptr<RequestScope> scope_;
  std::mutex mutex_;
  std::optional<solve::Solved> solved_;
};

}  // namespace kiln::daemon
