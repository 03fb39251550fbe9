// DiffOp: what must be laid over the lower tree to get the upper one. The store re-uses layers when
// the one stands on the other.
#include <fmt/format.h>

#include "base/digest.h"
#include "content/json_text.h"
#include "op/op_factory.h"
#include "op/tree_output.h"

namespace kiln::op {
namespace {

void write_side(content::JsonWriter& w, std::string_view name, const std::optional<std::int64_t>& side) {
  if (!side) return;
  w.key(name);
  w.begin_object();
  if (*side != 0) {
    w.key("input");
    w.integer(*side);
  }
  w.end_object();
}

// As BuildKit's: {"Type":"buildkit.diff.v0","Diff":<pb.DiffOp as Go prints it>}.
std::string key_json(const graph::DiffOp& op) {
  content::JsonWriter w;
  w.begin_object();
  w.key("Type");
  w.string("buildkit.diff.v0");
  w.key("Diff");
  w.begin_object();
  write_side(w, "lower", op.lower);
  write_side(w, "upper", op.upper);
  w.end_object();
  w.end_object();
  return w.take();
}

class DiffOp final : public solve::Op {
 public:
  DiffOp(VertexPtr vertex, const OpPorts& ports) : vertex_(std::move(vertex)), ports_(ports) {}

  Result<solve::CacheMap> cache_map(int, solve::RunContext&) override {
    solve::CacheMap map;
    map.digest = Digest::of(key_json(op())).str();
    map.inputs.resize(vertex_->inputs.size());
    return map;
  }
  Result<Digest> content_key(int, const solve::OutputRef&, solve::RunContext&) override {
    return engine_error("a difference is not keyed by content");
  }
  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>& inputs,
                                            solve::RunContext& context) override {
    auto side = [&](const std::optional<std::int64_t>& index) -> Result<store::TreeRef> {
      if (!index || *index == graph::kNoInput) return store::TreeRef();
      if (*index < 0 || *index >= static_cast<std::int64_t>(inputs.size())) {
        return user_error(Code::kInvalidArgument,
                          fmt::format("invalid input index {} for diff op with {} inputs", *index, inputs.size()));
      }
      return tree_of(inputs[static_cast<std::size_t>(*index)]);
    };
    KILN_ASSIGN_OR_RETURN(store::TreeRef lower, side(op().lower));
    KILN_ASSIGN_OR_RETURN(store::TreeRef upper, side(op().upper));
    KILN_ASSIGN_OR_RETURN(store::TreeRef difference, ports_.trees->diff(std::move(lower), std::move(upper),
                                                                        {.description = vertex_->name}, context.stop));
    return std::vector<solve::OutputRef>{make_output(std::move(difference))};
  }
  solve::Slot slot() const override { return solve::Slot::kFree; }

 private:
  const graph::DiffOp& op() const { return std::get<graph::DiffOp>(vertex_->op.kind); }
  VertexPtr vertex_;
  OpPorts ports_;
};

}  // namespace

Result<std::unique_ptr<solve::Op>> make_diff_op(VertexPtr vertex, const OpPorts& ports) {
  return std::make_unique<DiffOp>(std::move(vertex), ports);
}

}  // namespace kiln::op
