#include "graph/vertex.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include "base/text.h"
#include "graph/caps.h"
#include "graph/internal/op_name.h"
#include "graph/validate.h"

namespace kiln::graph {
namespace {

// An op on its way to becoming a vertex.
struct Draft {
  Op op;
  std::string bytes;
  Digest given;  // the digest others name it by in the definition
  bool changed = false;
  bool entered = false;  // on the walk's path
  std::shared_ptr<const Vertex> vertex;
};

class Loader {
 public:
  Loader(const Definition& definition, const LoadOptions& options) : definition_(definition), options_(options) {}

  Result<Graph> load() {
    if (definition_.empty()) return Graph{};
    KILN_RETURN_IF_ERROR(decode_all());
    Draft& sink = drafts_.back();
    if (drafts_.size() < 2) {
      return user_error(Code::kInvalidArgument, fmt::format("invalid LLB with {} vertexes", drafts_.size()));
    }
    if (sink.op.inputs.empty()) return user_error(Code::kInvalidArgument, "invalid LLB with no inputs on last vertex");
    if (auto status = validate(sink.op); !status.ok()) return named(status, sink);
    const Input result = sink.op.inputs.front();
    KILN_ASSIGN_OR_RETURN(Draft * top, find(result, sink));
    if (top == &sink) return named(user_error(Code::kInvalidArgument, "invalid cyclic input"), sink);
    KILN_RETURN_IF_ERROR(walk(*top));
    graph_.result = Edge{top->vertex, static_cast<int>(result.index)};
    graph_.source = definition_.source;
    if (moved_.empty() || !graph_.source) return std::move(graph_);
    for (const auto& [from, to] : moved_) {
      auto node = graph_.source->locations.extract(from);
      if (!node.empty()) graph_.source->locations[to] = std::move(node.mapped());
    }
    return std::move(graph_);
  }

 private:
  Status decode_all() {
    drafts_.resize(definition_.ops.size());
    by_digest_.reserve(drafts_.size());
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      Draft& draft = drafts_[i];
      draft.bytes = definition_.ops[i];
      draft.given = Digest::of(draft.bytes);
      auto op = decode_op(draft.bytes);
      if (!op.ok()) return named(op.status(), draft);
      draft.op = *std::move(op);
      by_digest_.emplace(draft.given.str(), i);
      if (options_.rewrite_source && std::holds_alternative<SourceOp>(draft.op.kind)) {
        KILN_ASSIGN_OR_RETURN(draft.changed, options_.rewrite_source(draft.op));
      }
    }
    return ok();
  }

  Status named(const Status& status, const Draft& draft) const {
    return annotate(status, fmt::format("op {} ({})", &draft - drafts_.data(), draft.given.str()));
  }

  Result<Draft*> find(const Input& input, const Draft& user) {
    auto it = by_digest_.find(input.digest);
    if (it != by_digest_.end()) return &drafts_[it->second];
    return named(user_error(Code::kInvalidArgument, fmt::format("invalid missing input digest {}", input.digest)),
                 user);
  }

  // Inputs before users, with a stack of our own: a chain may be as long as the definition.
  Status walk(Draft& top) {
    std::vector<std::pair<Draft*, std::size_t>> path{{&top, 0}};
    KILN_RETURN_IF_ERROR(enter(top));
    while (!path.empty()) {
      auto& [draft, next] = path.back();
      if (next == draft->op.inputs.size()) {
        KILN_RETURN_IF_ERROR(finish(*draft));
        path.pop_back();
        continue;
      }
      KILN_ASSIGN_OR_RETURN(Draft * input, find(draft->op.inputs[next], *draft));
      ++next;
      if (input->vertex) continue;
      if (input->entered) return named(user_error(Code::kInvalidArgument, "invalid cyclic input"), *draft);
      KILN_RETURN_IF_ERROR(enter(*input));
      path.emplace_back(input, 0);
    }
    return ok();
  }

  Status enter(Draft& draft) {
    draft.entered = true;
    if (draft.op.is_sink()) return named(user_error(Code::kInvalidArgument, "invalid op of no known kind"), draft);
    if (auto status = validate(draft.op); !status.ok()) return named(status, draft);
    return ok();
  }

  // All inputs have their vertices.
  Status finish(Draft& draft) {
    auto vertex = std::make_shared<Vertex>();
    for (auto& input : draft.op.inputs) {
      KILN_ASSIGN_OR_RETURN(Draft * source, find(input, draft));
      vertex->inputs.push_back({source->vertex, static_cast<int>(input.index)});
      if (source->vertex->op_digest != source->given) draft.changed = true;
    }
    vertex->op_digest = draft.given;
    if (draft.changed) {
      for (std::size_t i = 0; i < draft.op.inputs.size(); ++i) {
        draft.op.inputs[i].digest = vertex->inputs[i].vertex->op_digest.str();
      }
      draft.bytes = encode_op(draft.op);
      vertex->op_digest = Digest::of(draft.bytes);
      if (vertex->op_digest != draft.given) moved_.emplace_back(draft.given.str(), vertex->op_digest.str());
    }
    if (auto it = definition_.metadata.find(draft.given.str()); it != definition_.metadata.end()) {
      vertex->metadata = it->second;
    }
    if (options_.check_caps) {
      if (auto status = check_llb_caps(vertex->metadata.caps); !status.ok()) return status;
    }
    if (options_.check_op) KILN_RETURN_IF_ERROR(options_.check_op(draft.op, vertex->metadata));
    vertex->digest = vertex->metadata.ignore_cache ? ignore_cache_digest(vertex->op_digest) : vertex->op_digest;
    if (options_.set_apart) name_apart(draft.op, *vertex);
    set_platform(draft.op);
    vertex->name = internal::op_name(draft.op, *vertex);
    vertex->op = std::move(draft.op);
    vertex->bytes = std::move(draft.bytes);
    graph_.vertices.push_back(vertex);
    draft.vertex = std::move(vertex);
    return ok();
  }

  void name_apart(const Op& op, Vertex& vertex) {
    bool apart = options_.set_apart(op);
    for (const Edge& input : vertex.inputs) apart |= apart_.contains(input.vertex.get());
    if (!apart) return;
    vertex.digest = Digest::of(vertex.digest.str() + "-apart");
    apart_.insert(&vertex);
  }

  void set_platform(Op& op) const {
    if (!options_.default_platform) return;
    op.platform = op.platform ? op.platform->normalized() : options_.default_platform->normalized();
  }

  const Definition& definition_;
  const LoadOptions& options_;
  std::vector<Draft> drafts_;
  absl::flat_hash_map<std::string, std::size_t> by_digest_;
  absl::flat_hash_set<const Vertex*> apart_;
  std::vector<std::pair<std::string, std::string>> moved_;
  Graph graph_;
};

}  // namespace

Vertex::~Vertex() {
  std::vector<Edge> going = std::move(inputs);
  while (!going.empty()) {
    Edge edge = std::move(going.back());
    going.pop_back();
    if (edge.vertex.use_count() != 1) continue;
    // Nobody else can see it any more, so its inputs may be taken from it.
    auto& dying = const_cast<Vertex&>(*edge.vertex);
    std::move(dying.inputs.begin(), dying.inputs.end(), std::back_inserter(going));
    dying.inputs.clear();
  }
}

Digest ignore_cache_digest(const Digest& op_digest) { return Digest::of(op_digest.str() + "-ignorecache"); }

Result<Graph> load(const Definition& definition, const LoadOptions& options) {
  return Loader(definition, options).load();
}

Definition definition_of(const Edge& edge, const Graph& graph) {
  Definition out;
  if (!edge) return out;
  absl::flat_hash_set<const Vertex*> needed{edge.vertex.get()};
  // Users stand after their inputs, so one pass from the end finds everything that is needed.
  for (auto it = graph.vertices.rbegin(); it != graph.vertices.rend(); ++it) {
    if (!needed.contains(it->get())) continue;
    for (const auto& input : (*it)->inputs) needed.insert(input.vertex.get());
  }
  for (const auto& vertex : graph.vertices) {
    if (!needed.contains(vertex.get())) continue;
    out.ops.push_back(vertex->bytes);
    out.metadata[vertex->op_digest.str()] = vertex->metadata;
  }
  Op sink;
  sink.inputs.push_back({edge.vertex->op_digest.str(), edge.index});
  out.ops.push_back(encode_op(sink));
  if (graph.source) {
    out.source.emplace();
    out.source->infos = graph.source->infos;
    for (const auto& [digest, locations] : graph.source->locations) {
      if (out.metadata.contains(digest)) out.source->locations.emplace(digest, locations);
    }
  }
  return out;
}

std::vector<SourceRef> source_refs(const Graph& graph, const Digest& op_digest) {
  std::vector<SourceRef> out;
  if (!graph.source) return out;
  auto it = graph.source->locations.find(op_digest.str());
  if (it == graph.source->locations.end()) return out;
  for (const auto& location : it->second) {
    const auto index = static_cast<std::size_t>(location.source_index);
    if (location.source_index < 0 || index >= graph.source->infos.size()) continue;
    out.push_back({std::make_shared<const SourceInfo>(graph.source->infos[index]), location.ranges});
  }
  return out;
}

}  // namespace kiln::graph
