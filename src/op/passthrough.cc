// PassthroughOp: outputs are inputs, by a list. It runs nothing; it lets a frontend group results.
#include "content/json_text.h"
#include "op/op_factory.h"

namespace kiln::op {
namespace {

// As BuildKit's: {"Type":"buildkit.passthrough.v0","Passthrough":<pb.PassthroughOp as Go prints it>}.
std::string key_json(const graph::PassthroughOp& op) {
  content::JsonWriter w;
  w.begin_object();
  w.key("Type");
  w.string("buildkit.passthrough.v0");
  w.key("Passthrough");
  w.begin_object();
  w.string_if("id", op.id);
  if (!op.outputs.empty()) {
    w.key("outputs");
    w.begin_array();
    for (auto output : op.outputs) w.integer(output);
    w.end_array();
  }
  w.end_object();
  w.end_object();
  return w.take();
}

class PassthroughOp final : public solve::Op {
 public:
  explicit PassthroughOp(VertexPtr vertex) : vertex_(std::move(vertex)) {}

  Result<solve::CacheMap> cache_map(int, solve::RunContext&) override {
    solve::CacheMap map;
    map.digest = Digest::of(key_json(std::get<graph::PassthroughOp>(vertex_->op.kind))).str();
    map.inputs.resize(vertex_->inputs.size());
    return map;
  }
  Result<Digest> content_key(int, const solve::OutputRef&, solve::RunContext&) override { return Digest(); }
  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>& inputs, solve::RunContext&) override {
    std::vector<solve::OutputRef> out;
    for (auto index : std::get<graph::PassthroughOp>(vertex_->op.kind).outputs) {
      bool known = index >= 0 && index < static_cast<std::int64_t>(inputs.size());
      out.push_back(known ? inputs[static_cast<std::size_t>(index)] : nullptr);
    }
    return out;
  }
  solve::Slot slot() const override { return solve::Slot::kFree; }

 private:
  VertexPtr vertex_;
};

}  // namespace

Result<std::unique_ptr<solve::Op>> make_passthrough_op(VertexPtr vertex, const OpPorts&) {
  return std::make_unique<PassthroughOp>(std::move(vertex));
}

}  // namespace kiln::op
