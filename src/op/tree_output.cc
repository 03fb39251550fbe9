#include "op/tree_output.h"

#include <fmt/format.h>

#include "base/log.h"

namespace kiln::op {

solve::OutputRef make_output(store::TreeRef tree) { return std::make_shared<TreeOutput>(std::move(tree)); }

store::TreeRef tree_of(const solve::OutputRef& output) {
  if (!output) return nullptr;
  return static_cast<const TreeOutput&>(*output).tree();
}

std::optional<solve::OutputRef> TreeOutputs::load(const std::string& record_id, solve::RunContext&) {
  if (record_id == kScratchRecord) return make_output(nullptr);
  auto tree = trees_.find(record_id);
  if (!tree.ok()) {
    log_warn("load cached tree '{}': {}", record_id, message_of(tree.status()));
    return std::nullopt;
  }
  if (!*tree) return std::nullopt;
  return make_output(**tree);
}

Result<cache::Record> TreeOutputs::save(const solve::OutputRef& output) {
  store::TreeRef tree = tree_of(output);
  if (!tree) return cache::Record{std::string(kScratchRecord), system_clock().now()};
  return cache::Record{tree->id(), tree->created()};
}

Status content_key_error(const store::TreeRef& tree, const Status& cause) {
  if (is_cancelled(cause)) return cause;
  const std::string context = fmt::format("failed to calculate checksum of ref {}", tree ? tree->id() : "scratch");
  if (!is_not_found(cause) || get_detail(cause, store::kLostTreeDetail)) return annotate(cause, context);
  return user_error(Code::kUnknown, fmt::format("{}: {}", context, message_of(cause)));
}

}  // namespace kiln::op
