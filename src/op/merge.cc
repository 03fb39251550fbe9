// MergeOp: trees laid one over the other, later over earlier. Nothing is copied: the store remembers
// the list.
#include "base/digest.h"
#include "content/json_text.h"
#include "op/op_factory.h"
#include "op/tree_output.h"

namespace kiln::op {
namespace {

// As BuildKit's: {"Type":"buildkit.merge.v0","Merge":<pb.MergeOp as Go prints it>}.
std::string key_json(const graph::MergeOp& op) {
  content::JsonWriter w;
  w.begin_object();
  w.key("Type");
  w.string("buildkit.merge.v0");
  w.key("Merge");
  w.begin_object();
  if (!op.inputs.empty()) {
    w.key("inputs");
    w.begin_array();
    for (std::int64_t input : op.inputs) {
      w.begin_object();
      if (input != 0) {
        w.key("input");
        w.integer(input);
      }
      w.end_object();
    }
    w.end_array();
  }
  w.end_object();
  w.end_object();
  return w.take();
}

class MergeOp final : public solve::Op {
 public:
  MergeOp(VertexPtr vertex, const OpPorts& ports) : vertex_(std::move(vertex)), ports_(ports) {}

  Result<solve::CacheMap> cache_map(int, solve::RunContext&) override {
    solve::CacheMap map;
    map.digest = Digest::of(key_json(std::get<graph::MergeOp>(vertex_->op.kind))).str();
    map.inputs.resize(vertex_->inputs.size());
    return map;
  }
  Result<Digest> content_key(int, const solve::OutputRef&, solve::RunContext&) override {
    return engine_error("a merge is not keyed by content");
  }
  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>& inputs,
                                            solve::RunContext& context) override {
    std::vector<store::TreeRef> trees;
    for (const solve::OutputRef& input : inputs) trees.push_back(tree_of(input));
    KILN_ASSIGN_OR_RETURN(store::TreeRef merged,
                          ports_.trees->merge(std::move(trees), {.description = vertex_->name}, context.stop));
    return std::vector<solve::OutputRef>{make_output(std::move(merged))};
  }
  solve::Slot slot() const override { return solve::Slot::kFree; }

 private:
  VertexPtr vertex_;
  OpPorts ports_;
};

}  // namespace

Result<std::unique_ptr<solve::Op>> make_merge_op(VertexPtr vertex, const OpPorts& ports) {
  return std::make_unique<MergeOp>(std::move(vertex), ports);
}

}  // namespace kiln::op
