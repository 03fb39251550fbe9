#include "op/op_factory.h"

#include <unordered_map>

namespace kiln::op {
namespace {

struct MakeByKind {
  VertexPtr vertex;
  const OpPorts& ports;
  using Made = Result<std::unique_ptr<solve::Op>>;
  Made operator()(const std::monostate&) const { return engine_error("a sink cannot be run"); }
  Made operator()(const graph::ExecOp&) const { return make_exec_op(vertex, ports); }
  Made operator()(const graph::SourceOp&) const { return make_source_op(vertex, ports); }
  Made operator()(const graph::FileOp&) const { return make_file_op(vertex, ports); }
  Made operator()(const graph::MergeOp&) const { return make_merge_op(vertex, ports); }
  Made operator()(const graph::DiffOp&) const { return make_diff_op(vertex, ports); }
  Made operator()(const graph::BuildOp&) const { return make_build_op(vertex, ports); }
  Made operator()(const graph::PassthroughOp&) const { return make_passthrough_op(vertex, ports); }
};

std::optional<event::ProgressGroup> group_of(const graph::OpMetadata& metadata) {
  if (!metadata.progress_group) return std::nullopt;
  const auto& group = *metadata.progress_group;
  return event::ProgressGroup{group.id, group.name, group.weak};
}

}  // namespace

Result<std::unique_ptr<solve::Op>> make_op(VertexPtr vertex, const OpPorts& ports) {
  const auto& kind = vertex->op.kind;
  return std::visit(MakeByKind{std::move(vertex), ports}, kind);
}

solve::Edge to_solver(const graph::Graph& graph, const OpPorts& ports) {
  if (!graph.result) return {};
  auto shared_ports = std::make_shared<const OpPorts>(ports);
  std::unordered_map<const graph::Vertex*, std::shared_ptr<const solve::Vertex>> made;
  for (const auto& vertex : graph.vertices) {
    auto out = std::make_shared<solve::Vertex>();
    out->digest = vertex->digest;
    out->name = vertex->name;
    out->ignore_cache = vertex->metadata.ignore_cache;
    out->group = group_of(vertex->metadata);
    for (const auto& input : vertex->inputs) out->inputs.push_back({made.at(input.vertex.get()), input.index});
    out->make_op = [vertex, shared_ports] { return make_op(vertex, *shared_ports); };
    made[vertex.get()] = std::move(out);
  }
  return {made.at(graph.result.vertex.get()), graph.result.index};
}

session::SessionGroup sessions_of(const OpPorts& ports, const solve::RunContext& context) {
  if (!ports.sessions) return {};
  return {*ports.sessions, context.sessions};
}

}  // namespace kiln::op
