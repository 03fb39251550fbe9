// Trees as the solver's outputs. The solver passes outputs around without knowing what they are;
// every op of this room takes and gives trees, wrapped here.
//
//   store::TreeRef rootfs = tree_of(inputs[0]);          // nullptr: scratch
//   return std::vector{make_output(tree)};
//
// TreeOutputs keeps them as records: a record's id is the tree's.
#pragma once

#include <string_view>

#include "solve/solver.h"
#include "store/trees.h"

namespace kiln::op {

// Immutable; any thread. Holding it holds the tree.
class TreeOutput final : public solve::Output {
 public:
  explicit TreeOutput(store::TreeRef tree) : tree_(std::move(tree)) {}
  const store::TreeRef& tree() const { return tree_; }

 private:
  store::TreeRef tree_;
};

solve::OutputRef make_output(store::TreeRef tree);
// The tree of an output that make_output made; nullptr for a null output and for scratch.
store::TreeRef tree_of(const solve::OutputRef& output);

// Why the content of an input could not be made a key, in the words that clients match on. A path that
// is not there loses its code, which clients would print in front of the sentence.
Status content_key_error(const store::TreeRef& tree, const Status& cause);

// The daemon's own outputs. Any thread; `trees` must outlive it.
class TreeOutputs final : public solve::OutputStore {
 public:
  explicit TreeOutputs(store::Trees& trees) : trees_(trees) {}
  std::optional<solve::OutputRef> load(const std::string& record_id, solve::RunContext& context) override;
  Result<cache::Record> save(const solve::OutputRef& output) override;

 private:
  store::Trees& trees_;
};

// The record of the empty tree.
inline constexpr std::string_view kScratchRecord = "scratch";

}  // namespace kiln::op
