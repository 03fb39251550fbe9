// The cache key of an exec step: what of it takes part, as BuildKit decides it, so that records made
// by either are found by the other.
//
//   map.digest = Digest::of(exec_key_json(op, platform)).str();
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "graph/op.h"
#include "solve/op.h"

namespace kiln::op {

// The bytes that are hashed: JSON as Go's encoding/json prints
// {"Type":"buildkit.exec.v0","Exec":<pb.ExecOp>,"OS":…,"Arch":…,"Variant":…,…} after
// addresses of extra hosts, selectors, proxies and private cache ids were taken out, and the mounts
// altogether when there is only a plain root.
std::string exec_key_json(const graph::ExecOp& op, const std::optional<Platform>& platform);

// What of one input the step sees.
struct InputView {
  std::vector<std::string> selectors;  // cleaned, one for each mount of the input
  bool content_keyed = false;
};
// One for each input. InvalidArgument for a mount that must be keyed by content and cannot be.
Result<std::vector<InputView>> input_views(const graph::ExecOp& op, std::size_t input_count);

// Selectors without those that lie below another, sorted; empty when one of them is everything.
std::vector<std::string> distinct_selectors(std::vector<std::string> selectors);
solve::InputRule input_rule(const InputView& view);

}  // namespace kiln::op
