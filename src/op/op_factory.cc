#include "op/op_factory.h"

#include <unordered_map>

#include "base/text.h"
#include "op/tree_output.h"

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

// Any op, whose errors say more: which inputs were lost, so that those that a cache promised are made
// after all; which tree could not be keyed, so that the client may look at it.
class TellingOp final : public solve::Op {
 public:
  TellingOp(std::unique_ptr<solve::Op> op, VertexPtr vertex, const OpPorts& ports)
      : op_(std::move(op)), vertex_(std::move(vertex)), on_content_failure_(ports.on_content_failure) {}

  Result<solve::CacheMap> cache_map(int index, solve::RunContext& context) override {
    return op_->cache_map(index, context);
  }
  bool quick_cache_map() const override { return op_->quick_cache_map(); }
  solve::Slot slot() const override { return op_->slot(); }
  std::vector<event::KeyPart> key_parts() const override { return op_->key_parts(); }
  std::vector<event::FileSum> key_files(int input, const solve::OutputRef& output,
                                        solve::RunContext& context) override {
    return op_->key_files(input, output, context);
  }
  Result<Digest> content_key(int input, const solve::OutputRef& output, solve::RunContext& context) override {
    Result<Digest> key = op_->content_key(input, output, context);
    if (key.ok() || is_cancelled(key.status())) return key;
    Status error = key.status();
    if (get_detail(error, store::kLostTreeDetail)) set_detail(error, solve::kLostInputsDetail, std::to_string(input));
    if (on_content_failure_) on_content_failure_(*vertex_, input, tree_of(output), error);
    return error;
  }
  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>& inputs,
                                            solve::RunContext& context) override {
    Result<std::vector<solve::OutputRef>> outputs = op_->run(inputs, context);
    if (outputs.ok()) return outputs;
    const std::optional<std::string> lost = get_detail(outputs.status(), store::kLostTreeDetail);
    if (!lost) return outputs;
    std::vector<std::string> indices;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (store::made_of(tree_of(inputs[i]), *lost)) indices.push_back(std::to_string(i));
    }
    if (indices.empty()) return outputs;
    Status error = outputs.status();
    set_detail(error, solve::kLostInputsDetail, join(indices, ","));
    return error;
  }

 private:
  std::unique_ptr<solve::Op> op_;
  VertexPtr vertex_;
  std::function<void(const graph::Vertex&, int, store::TreeRef, Status&)> on_content_failure_;
};

std::optional<event::ProgressGroup> group_of(const graph::OpMetadata& metadata) {
  if (!metadata.progress_group) return std::nullopt;
  const auto& group = *metadata.progress_group;
  return event::ProgressGroup{group.id, group.name, group.weak};
}

}  // namespace

Result<std::unique_ptr<solve::Op>> make_op(VertexPtr vertex, const OpPorts& ports) {
  const auto& kind = vertex->op.kind;
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<solve::Op> made, std::visit(MakeByKind{vertex, ports}, kind));
  return std::make_unique<TellingOp>(std::move(made), std::move(vertex), ports);
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
