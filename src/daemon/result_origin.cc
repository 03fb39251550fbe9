#include "daemon/result_origin.h"

#include <set>

#include "content/image_config.h"
#include "op/step_records.h"
#include "op/tree_output.h"

namespace kiln::daemon {
namespace {

// A layer as provenance tells it: without the notes that are ours.
content::Descriptor told_layer(const store::LayerBlob& layer) {
  content::Descriptor out = layer.blob;
  std::erase_if(out.annotations, [](const auto& note) {
    return note.first == content::kUncompressedAnnotation || note.first == content::kCreatedAtAnnotation ||
           note.first.starts_with("containerd.io/distribution.source.");
  });
  return out;
}

// The layers of a tree as far as they exist as blobs.
std::vector<content::Descriptor> layers_of_tree(store::Trees& trees, const store::TreeRef& tree) {
  std::vector<content::Descriptor> out;
  if (!tree) return out;
  auto layers = trees.existing_layers(tree);
  if (!layers.ok() || !*layers) return out;
  for (const auto& layer : **layers) out.push_back(told_layer(layer));
  return out;
}

}  // namespace

std::string only_result_id(const std::map<std::string, std::string>& metadata) {
  Platform platform = Platform::host();
  if (auto config = metadata.find("containerimage.config"); config != metadata.end()) {
    auto image = content::parse_image_config(config->second);
    if (image.ok() && !image->platform.empty()) platform = image->platform;
  }
  return platform.normalized().str_full();
}

ResultOrigin::ResultOrigin(const BuildParts& parts, RunningBuild& build, std::shared_ptr<BridgeContext> context)
    : parts_(parts), build_(build), context_(std::move(context)), started_(system_clock().now()) {
  if (parts_.machine != nullptr) usage_ = parts_.machine->watch();
}

ResultOrigin::~ResultOrigin() = default;

Status ResultOrigin::capture(const frontend::SolveResult& result) {
  if (parts_.pins == nullptr) return ok();
  std::map<std::string, frontend::RefPtr> refs = result.refs;
  if (!result.is_map()) refs[""] = result.ref;
  WantedCapture wanted;
  for (const auto& [id, ref] : refs) {
    if (ref) wanted.results.insert(static_cast<BuildRef&>(*ref).graph().get());
    if (auto platform = Platform::parse(id); !id.empty() && platform.ok()) wanted.platforms.emplace(id, *platform);
  }
  for (const auto& [id, ref] : refs) {
    if (!ref) continue;
    auto mine = std::static_pointer_cast<BuildRef>(ref);
    wanted.graph = mine->graph();
    wanted.id = id;
    all_[id] = One{mine->scope()->capture(wanted, *parts_.pins, parts_.ops.step_records.get()), mine->graph()};
  }
  return ok();
}

Status ResultOrigin::attest(const ProvenanceOptions& options, exporter::BuildResult& result) {
  for (const auto& [id, one] : all_) {
    KILN_RETURN_IF_ERROR(check_materials(one.capture, options));
    exporter::Attestation out;
    out.metadata["reason"] = "provenance";
    out.metadata["inline-only"] = options.inline_only ? "true" : "false";
    out.path = options.filename;
    out.predicate_type = predicate_type(options.version);
    out.make_data = [this, one = &one, options] { return describe(*one, options); };
    result.attestations[id.empty() ? only_result_id(result.metadata) : id].push_back(std::move(out));
  }
  return ok();
}

Result<std::string> ResultOrigin::describe(const One& one, const ProvenanceOptions& options) const {
  ProvenanceRun run;
  run.invocation_id = build_.ref();
  run.started = started_;
  run.finished = finished_ ? *finished_ : system_clock().now();
  run.compatibility_version = build_.request().compatibility_version;
  run.environment_json = parts_.provenance_environment;
  if (options.mode == ProvenanceMode::kMax) run.layers = layers_of(*one.graph);
  if (options.capture_usage) add_usage(*one.graph, run);
  KILN_ASSIGN_OR_RETURN(graph::Definition definition, result_definition(*one.graph));
  return predicate(one.capture, definition, options, run);
}

void ResultOrigin::add_usage(const graph::Graph& graph, ProvenanceRun& run) const {
  if (usage_) run.machine_usage_json = usage_->samples_json();
  if (parts_.ops.step_records == nullptr) return;
  for (const auto& vertex : graph.vertices) {
    auto record = parts_.ops.step_records->find(vertex->digest);
    if (record && record->samples) run.usage[vertex->op_digest.str()] = samples_json(*record->samples);
  }
}

std::map<StepOutput, LayerChains> ResultOrigin::layers_of(const graph::Graph& graph) const {
  std::map<Digest, std::string> ops;
  for (const auto& vertex : graph.vertices) ops[vertex->digest] = vertex->op_digest.str();
  std::map<StepOutput, LayerChains> out;
  for (const auto& known : context_ ? context_->refs->job->known() : known_) {
    auto op = ops.find(known.vertex);
    if (op == ops.end()) continue;
    std::vector<content::Descriptor> layers = layers_of_tree(*parts_.ops.trees, op::tree_of(known.result));
    // Not solved here, because something above it was found: what is stored under its keys.
    for (std::size_t i = 0; layers.empty() && !known.result && i < known.keys.size(); ++i) {
      for (const auto& record : parts_.caches.records->records(known.keys[i])) {
        auto tree = parts_.ops.trees->find(record.id);
        if (tree.ok() && *tree) layers = layers_of_tree(*parts_.ops.trees, **tree);
        if (!layers.empty()) break;
      }
    }
    if (!layers.empty()) out[{op->second, known.output}].push_back(std::move(layers));
  }
  return out;
}

void ResultOrigin::keep(const std::string& builder_id) {
  if (parts_.history == nullptr || build_.request().internal) return;
  finished_ = system_clock().now();
  let_go();
  build_.add_afterwards([self = shared_from_this(), builder_id]() -> Status {
    for (const auto& [id, one] : self->all_) KILN_RETURN_IF_ERROR(self->keep_one(id, one, builder_id));
    return ok();
  });
}

void ResultOrigin::let_go() {
  if (!all_.empty()) known_ = context_->refs->job->known();
  context_.reset();
}

Status ResultOrigin::keep_one(const std::string& key, const One& one, const std::string& builder_id) {
  ProvenanceOptions options;
  options.builder_id = builder_id;
  options.capture_usage = true;
  KILN_ASSIGN_OR_RETURN(std::string text, describe(one, options));
  StringSource bytes(std::move(text));
  KILN_ASSIGN_OR_RETURN(auto blob, parts_.history->write_blob(std::string(content::kInTotoStatement), bytes));
  blob.annotations[history::kPredicateTypeAnnotation] = predicate_type(options.version);
  build_.add_attestation(key, std::move(blob));
  return ok();
}

}  // namespace kiln::daemon
