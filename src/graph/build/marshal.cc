// From states to a definition: every node once, inputs first.
#include <mutex>
#include <unordered_map>

#include "base/id.h"
#include "graph/build/node.h"

namespace kiln::graph::build {
namespace {

void merge_metadata(OpMetadata& into, const OpMetadata& from) {
  into.ignore_cache |= from.ignore_cache;
  for (const auto& [key, value] : from.description) into.description[key] = value;
  if (from.export_cache) into.export_cache = from.export_cache;
  for (const auto& [cap, unused] : from.caps) into.caps[cap] = true;
  if (from.progress_group) into.progress_group = from.progress_group;
  if (from.linux_resources) into.linux_resources = from.linux_resources;
}

bool same_text(const SourceInfo& a, const SourceInfo& b) {
  return a.filename == b.filename && a.language == b.language && a.data == b.data;
}

class Marshaller {
 public:
  explicit Marshaller(const Defaults& defaults) : defaults_(defaults) { definition_.source.emplace(); }

  Result<Definition> marshal(const Output& result) {
    KILN_ASSIGN_OR_RETURN(Output top, resolve(result));
    if (top.is_scratch()) return Definition{};
    KILN_RETURN_IF_ERROR(walk(top));
    Op sink;
    sink.inputs.push_back(*input_of(top));
    std::string bytes = encode_op(sink);
    OpMetadata needs;
    needs.caps[kCapConstraints] = true;
    needs.caps[kCapPlatform] = true;
    for (const auto& [digest, metadata] : definition_.metadata) {
      if (metadata.ignore_cache) needs.caps[kCapMetaIgnoreCache] = true;
      if (!metadata.description.empty()) needs.caps[kCapMetaDescription] = true;
      if (metadata.export_cache) needs.caps[kCapMetaExportCache] = true;
    }
    merge_metadata(definition_.metadata[Digest::of(bytes).str()], needs);
    definition_.ops.push_back(std::move(bytes));
    return std::move(definition_);
  }

 private:
  // Follows deferred nodes to what they stand for.
  Result<Output> resolve(Output output) {
    for (int hops = 0; output.node; ++hops) {
      auto target = output.node->stands_for();
      if (!target) break;
      if (hops > 100) return engine_error("a deferred state stands for itself");
      output = *target;
    }
    return output;
  }

  std::optional<Input> input_of(const Output& output) {
    auto resolved = resolve(output);
    if (!resolved.ok() || resolved->is_scratch()) return std::nullopt;
    return Input{digests_.at(resolved->node.get()), resolved->index};
  }

  Status walk(const Output& top) {
    std::vector<std::pair<std::shared_ptr<const Node>, std::size_t>> path{{top.node, 0}};
    while (!path.empty()) {
      auto& [node, next] = path.back();
      if (digests_.contains(node.get())) {
        path.pop_back();
        continue;
      }
      if (next == node->inputs().size()) {
        KILN_RETURN_IF_ERROR(finish(*node));
        path.pop_back();
        continue;
      }
      KILN_ASSIGN_OR_RETURN(Output input, resolve(node->inputs()[next]));
      ++next;
      if (!input.is_scratch() && !digests_.contains(input.node.get())) path.emplace_back(input.node, 0);
    }
    return ok();
  }

  Status finish(const Node& node) {
    KILN_ASSIGN_OR_RETURN(Made made, node.make(defaults_, [this](const Output& o) { return input_of(o); }));
    std::string bytes = node.ready_bytes() != nullptr ? *node.ready_bytes() : encode_op(made.op);
    const std::string digest = Digest::of(bytes).str();
    digests_.emplace(&node, digest);
    const auto [metadata, first] = definition_.metadata.try_emplace(digest);
    if (first) {
      metadata->second = std::move(made.metadata);
    } else {
      merge_metadata(metadata->second, made.metadata);
    }
    auto& locations = definition_.source->locations[digest];
    for (const auto& place : node.constraints().places) locations.push_back({text_index(place.info), place.ranges});
    if (first) definition_.ops.push_back(std::move(bytes));
    return ok();
  }

  std::int32_t text_index(const std::shared_ptr<const SourceInfo>& text) {
    if (auto it = texts_.find(text.get()); it != texts_.end()) return it->second;
    auto& infos = definition_.source->infos;
    std::size_t index = 0;
    while (index < infos.size() && !same_text(infos[index], *text)) ++index;
    if (index == infos.size()) infos.push_back(*text);
    return texts_[text.get()] = static_cast<std::int32_t>(index);
  }

  const Defaults& defaults_;
  Definition definition_;
  std::unordered_map<const Node*, std::string> digests_;
  std::unordered_map<const SourceInfo*, std::int32_t> texts_;
};

class DeferredNode final : public Node {
 public:
  explicit DeferredNode(std::function<State()> decide) : Node(Constraints{}), decide_(std::move(decide)) {}
  std::optional<Output> stands_for() const override {
    std::call_once(decided_, [this] { target_ = decide_().output(); });
    return target_;
  }
  Result<Made> make(const Defaults&, const InputOf&) const override {
    return engine_error("a deferred state was not resolved");
  }

 private:
  std::function<State()> decide_;
  mutable std::once_flag decided_;
  mutable Output target_;
};

}  // namespace

State deferred(std::function<State()> decide) {
  return State(Output{std::make_shared<DeferredNode>(std::move(decide))}, Settings{});
}

Result<Definition> marshal(const State& state, const MarshalOptions& options) {
  Defaults defaults{.platform = options.platform ? *options.platform : Platform::host().normalized(),
                    .caps = options.caps,
                    .local_id = new_id()};
  return Marshaller(defaults).marshal(state.output());
}

}  // namespace kiln::graph::build
