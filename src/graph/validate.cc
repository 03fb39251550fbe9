#include "graph/validate.h"

#include <fmt/format.h>

namespace kiln::graph {
namespace {

// Above this an index can only be a mistake or an attack; nothing may be sized by it.
constexpr std::int64_t kOutputsMax = 1 << 16;

Status invalid(std::string_view reason) { return user_error(Code::kInvalidArgument, reason); }

bool is_input(std::int64_t index, std::size_t inputs) {
  return index == kNoInput || (index >= 0 && static_cast<std::size_t>(index) < inputs);
}

bool is_output(std::int64_t index) { return index >= kSkipOutput && index < kOutputsMax; }

Status check(const std::monostate&, const Op& op) {
  if (op.inputs.size() != 1) return invalid("invalid LLB with no inputs on last vertex");
  return ok();
}

Status check(const SourceOp& source, const Op&) {
  if (source.identifier.empty()) return invalid("invalid source op with no identifier");
  return ok();
}

Status check(const ExecOp& exec, const Op& op) {
  if (!exec.has_meta) return invalid("invalid exec op with no meta");
  if (exec.meta.args.empty()) return invalid("invalid exec op with no args");
  if (exec.mounts.empty()) return invalid("invalid exec op with no mounts");
  bool has_root = false;
  for (const auto& mount : exec.mounts) {
    has_root |= mount.dest == kRootMount;
    if (!is_input(mount.input, op.inputs.size())) {
      return invalid(
          fmt::format("invalid exec op mount '{}' with input {} of {}", mount.dest, mount.input, op.inputs.size()));
    }
    if (!is_output(mount.output)) {
      return invalid(fmt::format("invalid exec op mount '{}' with output {}", mount.dest, mount.output));
    }
    auto type = static_cast<int>(mount.type);
    if (type < 0 || type > 4)
      return invalid(fmt::format("invalid exec op mount '{}' of unknown type {}", mount.dest, type));
  }
  if (!has_root) return invalid("invalid exec op with no rootfs");
  auto network = static_cast<int>(exec.network);
  if (network < 0 || network > 2) return invalid(fmt::format("invalid network mode {}", network));
  auto security = static_cast<int>(exec.security);
  if (security < 0 || security > 1) return invalid(fmt::format("invalid security mode {}", security));
  return ok();
}

Status check_owner(const std::optional<Chown>& owner, std::size_t inputs) {
  if (!owner) return ok();
  for (const auto* side : {&owner->user, &owner->group}) {
    if (!side->has_value()) continue;
    const auto* named = std::get_if<NamedUser>(&**side);
    if (named != nullptr && !is_input(named->input, inputs)) {
      return invalid(fmt::format("invalid file action owner '{}' from input {}", named->name, named->input));
    }
  }
  return ok();
}

Status check_action_kind(const FileAction& action, std::size_t inputs) {
  if (const auto* a = std::get_if<CopyAction>(&action.action)) return check_owner(a->owner, inputs);
  if (const auto* a = std::get_if<MkfileAction>(&action.action)) return check_owner(a->owner, inputs);
  if (const auto* a = std::get_if<MkdirAction>(&action.action)) return check_owner(a->owner, inputs);
  if (const auto* a = std::get_if<SymlinkAction>(&action.action)) return check_owner(a->owner, inputs);
  if (std::holds_alternative<RmAction>(action.action)) return ok();
  return invalid("invalid file action of unknown kind");
}

Status check(const FileOp& file, const Op& op) {
  if (file.actions.empty()) return invalid("invalid file op with no actions");
  std::size_t known = op.inputs.size();  // inputs and the actions before this one
  bool any_output = false;
  for (std::size_t i = 0; i < file.actions.size(); ++i, ++known) {
    const auto& action = file.actions[i];
    if (!is_input(action.input, known) || !is_input(action.secondary_input, known)) {
      return invalid(
          fmt::format("invalid file action {} with inputs {} and {}", i, action.input, action.secondary_input));
    }
    if (!is_output(action.output))
      return invalid(fmt::format("invalid file action {} with output {}", i, action.output));
    any_output |= action.output >= 0;
    KILN_RETURN_IF_ERROR(check_action_kind(action, op.inputs.size()));
  }
  if (!any_output) return invalid("invalid file op with no outputs");
  return ok();
}

Status check(const BuildOp& build, const Op& op) {
  if (!is_input(build.builder, op.inputs.size()))
    return invalid(fmt::format("invalid build op with builder {}", build.builder));
  for (const auto& [name, input] : build.inputs) {
    if (!is_input(input, op.inputs.size()))
      return invalid(fmt::format("invalid build op with input '{}' at {}", name, input));
  }
  return ok();
}

Status check(const MergeOp& merge, const Op& op) {
  if (merge.inputs.empty()) return invalid("invalid merge op with no inputs");
  for (auto input : merge.inputs) {
    if (!is_input(input, op.inputs.size())) return invalid(fmt::format("invalid merge op with input {}", input));
  }
  return ok();
}

Status check(const DiffOp& diff, const Op& op) {
  if (!diff.lower || !diff.upper) return invalid("invalid diff op with nil lower or upper input");
  if (!is_input(*diff.lower, op.inputs.size())) return invalid(fmt::format("invalid diff input index {}", *diff.lower));
  if (!is_input(*diff.upper, op.inputs.size())) return invalid(fmt::format("invalid diff input index {}", *diff.upper));
  return ok();
}

Status check(const PassthroughOp& pass, const Op& op) {
  if (pass.id.empty()) return invalid("invalid passthrough op with no id");
  if (pass.outputs.empty()) return invalid("invalid passthrough op with no outputs");
  for (auto input : pass.outputs) {
    if (input < 0 || static_cast<std::size_t>(input) >= op.inputs.size()) {
      return invalid(fmt::format("invalid passthrough output input index {}", input));
    }
  }
  return ok();
}

}  // namespace

Status validate(const Op& op) {
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    const auto index = op.inputs[i].index;
    if (index < 0 || index >= kOutputsMax) return invalid(fmt::format("invalid input {} output index {}", i, index));
  }
  return std::visit([&op](const auto& kind) { return check(kind, op); }, op.kind);
}

}  // namespace kiln::graph
