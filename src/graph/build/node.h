// Ops to be made, as the builder holds them until a definition is asked for. Private to the folder.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graph/build/state.h"

namespace kiln::graph::build {

// What the ops of one definition share while they are made.
struct Defaults {
  Platform platform;
  const CapSet* caps = nullptr;
  std::string local_id;  // names local sources that have no session
};

// An op on its way into bytes.
struct Made {
  Op op;
  OpMetadata metadata;
};

// Gives the input that stands for an output; all outputs of Node::inputs() are known. Nothing when
// the output turned out to be the empty tree.
using InputOf = std::function<std::optional<Input>(const Output&)>;

// Immutable once it is part of a state; any thread.
class Node {
 public:
  explicit Node(Constraints constraints) : constraints_(std::move(constraints)) {}
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // The outputs this op is made from, in the order in which their ops go into a definition.
  const std::vector<Output>& inputs() const { return inputs_; }
  const Constraints& constraints() const { return constraints_; }
  virtual Result<Made> make(const Defaults& defaults, const InputOf& input_of) const = 0;

  // A node that only stands for another output (deferred) gives it here.
  virtual std::optional<Output> stands_for() const { return std::nullopt; }
  // Ready bytes, when the op comes from a definition.
  virtual const std::string* ready_bytes() const { return nullptr; }

 protected:
  // An op with the node's platform (or `fallback`, or the default), filters and metadata.
  Made start(const Defaults& defaults, const std::optional<Platform>& fallback = {}) const;

  std::vector<Output> inputs_;
  Constraints constraints_;
};

// Adds an output to a list unless it is scratch or already there.
void add_once(std::vector<Output>& list, const Output& output);
// Index of `input` in the op's inputs; appended when it is new.
std::int64_t input_index(Op& op, const Input& input);

}  // namespace kiln::graph::build
