#include "daemon/build_ref.h"

#include <algorithm>

#include "daemon/status_wire.h"
#include "daemon/tree_files.h"
#include "op/tree_output.h"
#include "wire/errdefs.pb.h"

namespace kiln::daemon {

Status with_source(const Status& status, const graph::Graph& graph) {
  if (status.ok()) return status;
  auto vertex_text = get_detail(status, solve::kVertexDetail);
  if (!vertex_text || get_detail(status, kDetailVertex)) return status;
  Status out = status;
  errdefs::Vertex detail;
  detail.set_digest(*vertex_text);
  set_detail(out, kDetailVertex, detail.SerializeAsString());
  for (const auto& vertex : graph.vertices) {
    if (vertex->digest.str() != *vertex_text) continue;
    for (const auto& ref : graph::source_refs(graph, vertex->op_digest)) {
      add_detail(out, kDetailSource, graph::encode_source_ref(ref));
    }
    break;
  }
  return out;
}

namespace {

// A client's files are never looked for in a cache: the Dockerfile comes while caches are read.
bool may_be_cached(const graph::Graph& graph) {
  return !std::all_of(graph.vertices.begin(), graph.vertices.end(), [](const auto& vertex) {
    const auto* source = std::get_if<graph::SourceOp>(&vertex->op.kind);
    return source != nullptr && source->identifier.starts_with("local://");
  });
}

}  // namespace

Result<solve::Solved> BuildRef::solved(std::stop_token stop) {
  {
    std::lock_guard lock(mutex_);
    if (solved_) return *solved_;
  }
  if (context_->imports.valid() && may_be_cached(*graph_)) context_->imports.wait();
  auto answer = context_->job->solve(edge_, stop);
  if (!answer.ok()) return with_source(answer.status(), *graph_);
  scope_->add_graph(graph_);
  std::lock_guard lock(mutex_);
  solved_ = *answer;
  return *std::move(answer);
}

Status BuildRef::evaluate(std::stop_token stop) { return solved(stop).status(); }

Result<store::OpenTree> BuildRef::open(std::stop_token stop) {
  for (;;) {
    KILN_ASSIGN_OR_RETURN(auto solved_now, solved(stop));
    auto tree = context_->trees->open(op::tree_of(solved_now.output), stop);
    if (tree.ok()) return tree;
    const std::optional<std::string> lost = get_detail(tree.status(), store::kLostTreeDetail);
    if (!lost || !solve_without(*lost, stop)) return tree;
  }
}

bool BuildRef::solve_without(const std::string& lost_layer, std::stop_token stop) {
  solve::OutputRef before;
  {
    std::lock_guard lock(mutex_);
    if (!solved_ || !store::made_of(op::tree_of(solved_->output), lost_layer)) return false;
    before = solved_->output;
  }
  auto answer = context_->job->solve_again(edge_, before, stop);
  std::lock_guard lock(mutex_);
  if (!answer.ok()) {
    solved_.reset();  // the next who asks is told
    return true;
  }
  solved_ = *answer;
  return answer->output != before;
}

Result<std::string> BuildRef::read_file(const frontend::ReadRequest& request, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto tree, open(stop));
  return read_file_in(tree.root.get(), request);
}

Result<std::vector<frontend::FileStat>> BuildRef::read_dir(const std::string& path, const std::string& include_pattern,
                                                           std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto tree, open(stop));
  return read_dir_in(tree.root.get(), path, include_pattern);
}

Result<frontend::FileStat> BuildRef::stat_file(const std::string& path, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto tree, open(stop));
  return stat_in(tree.root.get(), path);
}

Result<graph::Definition> result_definition(const graph::Graph& graph) {
  if (!graph.result) return graph::Definition{};
  return graph::definition_of(graph.result, graph);
}

Result<graph::Definition> BuildRef::definition() { return result_definition(*graph_); }

}  // namespace kiln::daemon
