// The cache key of a file step and what of its inputs the step sees, as BuildKit decides both, so that
// records made by either are found by the other.
//
//   map.digest = Digest::of(file_key_json(op, inputs)).str();
//   auto views = file_input_views(op, inputs);
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/op.h"
#include "solve/op.h"
#include "store/tree_digest.h"

namespace kiln::op {

// The bytes that are hashed: JSON as Go's encoding/json prints
// {"Type":"buildkit.file.v0","Actions":[<base64 of each action's JSON>],"indexes":[[…]]}; the source
// of a copy from an input is cut down to its last element, the selector tells the rest.
std::string file_key_json(const graph::FileOp& op, std::size_t input_count);

// One part of an input that takes part in the key.
struct FileSelector {
  std::string path;
  store::ChecksumOptions options;
};

struct FileInputView {
  std::vector<FileSelector> selectors;  // in the order of the actions
  bool whole = false;                   // written to: everything in it counts
};
// One for each input. InvalidArgument for an input index that does not exist.
Result<std::vector<FileInputView>> file_input_views(const graph::FileOp& op, std::size_t input_count);
solve::InputRule input_rule(const FileInputView& view);
// What is hashed for the content key: without what lies below another selector, by path. Never empty.
std::vector<FileSelector> distinct_selectors(const std::vector<FileSelector>& selectors);

}  // namespace kiln::op
