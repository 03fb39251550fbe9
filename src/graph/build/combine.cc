// Merge, diff and passthrough.
#include "graph/build/node.h"

namespace kiln::graph::build {
namespace {

// Inputs as given, the same one twice when it is given twice.
class MergeNode final : public Node {
 public:
  MergeNode(std::vector<Output> parts, Constraints constraints) : Node(std::move(constraints)) {
    inputs_ = std::move(parts);
  }
  Result<Made> make(const Defaults& defaults, const InputOf& input_of) const override {
    Made made = start(defaults);
    made.op.platform.reset();
    MergeOp merge;
    for (const auto& part : inputs_) {
      auto input = input_of(part);
      if (!input) continue;
      merge.inputs.push_back(static_cast<std::int64_t>(made.op.inputs.size()));
      made.op.inputs.push_back(*input);
    }
    made.op.kind = std::move(merge);
    return made;
  }
};

class DiffNode final : public Node {
 public:
  DiffNode(Output lower, Output upper, Constraints constraints) : Node(std::move(constraints)) {
    has_lower_ = !lower.is_scratch();
    has_upper_ = !upper.is_scratch();
    if (has_lower_) inputs_.push_back(std::move(lower));
    if (has_upper_) inputs_.push_back(std::move(upper));
  }
  Result<Made> make(const Defaults& defaults, const InputOf& input_of) const override {
    Made made = start(defaults);
    made.op.platform.reset();
    DiffOp diff{.lower = kNoInput, .upper = kNoInput};
    std::size_t next = 0;
    if (has_lower_) put(made.op, diff.lower, input_of(inputs_[next++]));
    if (has_upper_) put(made.op, diff.upper, input_of(inputs_[next]));
    made.op.kind = diff;
    return made;
  }

 private:
  static void put(Op& op, std::optional<std::int64_t>& index, const std::optional<Input>& input) {
    if (!input) return;
    index = static_cast<std::int64_t>(op.inputs.size());
    op.inputs.push_back(*input);
  }
  bool has_lower_ = false;
  bool has_upper_ = false;
};

class PassthroughNode final : public Node {
 public:
  PassthroughNode(std::string id, std::vector<Output> inputs) : Node(Constraints{}), id_(std::move(id)) {
    inputs_ = std::move(inputs);
    constraints_.needs(kCapPassthroughOp);
  }
  Result<Made> make(const Defaults& defaults, const InputOf& input_of) const override {
    if (id_.empty()) return user_error(Code::kInvalidArgument, "passthrough requires an id");
    Made made = start(defaults);
    made.op.platform.reset();
    for (const auto& needed : inputs_) {
      if (auto input = input_of(needed)) made.op.inputs.push_back(*input);
    }
    made.op.kind = PassthroughOp{id_, {0}};
    return made;
  }

 private:
  std::string id_;
};

}  // namespace

State merge(const std::vector<State>& states, const Constraints& constraints) {
  std::vector<Output> inputs;
  const State* first = nullptr;
  for (const auto& state : states) {
    if (state.is_scratch()) continue;
    if (first == nullptr) first = &state;
    inputs.push_back(state.output());
  }
  if (first == nullptr) return scratch();
  if (inputs.size() == 1) return *first;
  Constraints own = constraints;
  own.needs(kCapMergeOp);
  return first->with_output({std::make_shared<MergeNode>(std::move(inputs), std::move(own)), 0});
}

State diff(const State& lower, const State& upper, const Constraints& constraints) {
  if (lower.is_scratch()) return upper;
  Constraints own = constraints;
  own.needs(kCapDiffOp);
  return lower.with_output({std::make_shared<DiffNode>(lower.output(), upper.output(), std::move(own)), 0});
}

State after(const State& state, std::string id, const std::vector<State>& needed) {
  if (needed.empty() || state.is_scratch()) return state;
  std::vector<Output> inputs{state.output()};
  for (const auto& other : needed) {
    if (!other.is_scratch()) inputs.push_back(other.output());
  }
  return state.with_output({std::make_shared<PassthroughNode>(std::move(id), std::move(inputs)), 0});
}

}  // namespace kiln::graph::build
