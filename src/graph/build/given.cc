// States made of ready definitions.
#include <unordered_map>

#include "graph/build/node.h"
#include "graph/vertex.h"

namespace kiln::graph::build {
namespace {

class GivenNode final : public Node {
 public:
  GivenNode(std::string bytes, OpMetadata metadata, std::vector<SourceRef> places)
      : Node(Constraints{}), bytes_(std::move(bytes)) {
    constraints_.metadata = std::move(metadata);
    constraints_.places = std::move(places);
  }
  void add_input(Output output) { inputs_.push_back(std::move(output)); }
  const std::string* ready_bytes() const override { return &bytes_; }
  Result<Made> make(const Defaults&, const InputOf&) const override {
    Made made;
    made.metadata = constraints_.metadata;
    return made;
  }

 private:
  std::string bytes_;
};

using Texts = std::vector<std::shared_ptr<const SourceInfo>>;

Result<std::vector<SourceRef>> places_of(const Definition& definition, const std::string& digest, const Texts& texts) {
  std::vector<SourceRef> out;
  if (!definition.source) return out;
  auto it = definition.source->locations.find(digest);
  if (it == definition.source->locations.end()) return out;
  for (const auto& location : it->second) {
    const auto index = static_cast<std::size_t>(location.source_index);
    if (location.source_index < 0 || index >= texts.size()) {
      return user_error(Code::kInvalidArgument, "a source location of the definition names no source");
    }
    out.push_back({texts[index], location.ranges});
  }
  return out;
}

}  // namespace

Result<State> from_definition(const Definition& definition) {
  if (definition.empty()) return scratch();
  // Loading refuses whatever is not well-formed and puts inputs before users.
  KILN_ASSIGN_OR_RETURN(Graph graph, load(definition, {.check_caps = false}));
  Texts texts;
  if (definition.source) {
    for (const auto& info : definition.source->infos) texts.push_back(std::make_shared<const SourceInfo>(info));
  }
  std::unordered_map<const Vertex*, std::shared_ptr<GivenNode>> nodes;
  for (const auto& vertex : graph.vertices) {
    KILN_ASSIGN_OR_RETURN(auto places, places_of(definition, vertex->op_digest.str(), texts));
    auto node = std::make_shared<GivenNode>(vertex->bytes, vertex->metadata, std::move(places));
    for (const auto& input : vertex->inputs) node->add_input({nodes.at(input.vertex.get()), input.index});
    nodes.emplace(vertex.get(), std::move(node));
  }
  Settings settings;
  const Vertex* top = graph.result.vertex.get();
  if (top->op.platform) settings.platform = top->op.platform->normalized();
  return State(Output{nodes.at(top), graph.result.index}, std::move(settings));
}

}  // namespace kiln::graph::build
