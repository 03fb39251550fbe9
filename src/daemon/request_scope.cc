#include "daemon/request_scope.h"

#include <algorithm>

#include "graph/definition.h"

namespace kiln::daemon {

std::uint64_t Producers::add(const Digest& head, std::shared_ptr<const RequestDescription> made_by) {
  std::lock_guard lock(mutex_);
  entries_.emplace(++next_, std::pair(head, std::move(made_by)));
  return next_;
}

void Producers::remove(std::uint64_t id) {
  std::lock_guard lock(mutex_);
  entries_.erase(id);
}

std::shared_ptr<const RequestDescription> Producers::find(const Digest& head) const {
  std::lock_guard lock(mutex_);
  std::shared_ptr<const RequestDescription> out;
  for (const auto& [id, entry] : entries_) {
    if (entry.first != head) continue;
    if (out && !(*out == *entry.second)) return nullptr;
    out = entry.second;
  }
  return out;
}

FrontendCall settled_call(FrontendCall asked) {
  auto source = asked.opts.find("source");
  if (asked.frontend != "gateway.v0" || source == asked.opts.end() || source->second != "dockerfile.v0") return asked;
  for (const auto& [key, value] : asked.opts) {
    if (key == "context:dockerfile.v0" || key.starts_with("context:dockerfile.v0::")) return asked;
  }
  asked.opts.erase(source);
  asked.frontend = "dockerfile.v0";
  return asked;
}

std::shared_ptr<RequestScope> RequestScope::of_build(const FrontendCall& asked, std::shared_ptr<Producers> producers) {
  std::shared_ptr<RequestScope> out(new RequestScope(std::move(producers), nullptr));
  if (!asked.frontend.empty() || !asked.opts.empty() || !asked.inputs.empty()) out->root_ = out->describe(asked);
  return out;
}

RequestScope::~RequestScope() {
  for (std::uint64_t id : produced_) producers_->remove(id);
}

std::shared_ptr<const RequestDescription> RequestScope::describe(const FrontendCall& asked) const {
  auto out = std::make_shared<RequestDescription>();
  out->frontend = asked.frontend;
  out->args = provenance_args(asked.opts);
  for (const auto& [name, definition] : asked.inputs) {
    auto head = graph::head(definition);
    if (!head) continue;
    auto made_by = producers_->find(Digest::trusted(head->digest));
    if (!made_by || made_by->depth >= RequestDescription::kInputDepthMax) continue;
    out->depth = std::max(out->depth, made_by->depth + 1);
    out->inputs[name] = std::move(made_by);
  }
  return out;
}

std::shared_ptr<RequestScope> RequestScope::call(const FrontendCall& asked) {
  std::shared_ptr<RequestScope> out(new RequestScope(producers_, describe(asked)));
  out->root_ = root_ ? root_ : request_;
  std::lock_guard lock(mutex_);
  calls_.push_back(out);
  return out;
}

void RequestScope::add_image(ImageMaterial image) {
  std::lock_guard lock(mutex_);
  images_.push_back(std::move(image));
}

void RequestScope::add_graph(std::shared_ptr<const graph::Graph> graph) {
  std::lock_guard lock(mutex_);
  if (std::find(graphs_.begin(), graphs_.end(), graph) == graphs_.end()) graphs_.push_back(std::move(graph));
}

void RequestScope::produced(const graph::Graph& graph) {
  if (!request_ || !graph.result) return;
  const std::uint64_t id = producers_->add(graph.result.vertex->op_digest, request_);
  std::lock_guard lock(mutex_);
  produced_.push_back(id);
}

void RequestScope::collect(const WantedCapture& wanted, const source::Pins& pins, const op::StepRecords* steps,
                           Capture& out, std::vector<ImageMaterial>& images) const {
  std::vector<std::shared_ptr<RequestScope>> calls;
  {
    std::lock_guard lock(mutex_);
    for (const auto& graph : graphs_) {
      if (graph != wanted.graph && !wanted.results.contains(graph.get())) add_materials(*graph, pins, steps, out);
    }
    images.insert(images.end(), images_.begin(), images_.end());
    calls = calls_;
  }
  for (const auto& call : calls) call->collect(wanted, pins, steps, out, images);
}

namespace {

// Whether the image was looked up for each platform of the results.
bool for_every_platform(const ImageMaterial& image, const std::vector<ImageMaterial>& images,
                        const WantedCapture& wanted) {
  return std::all_of(wanted.platforms.begin(), wanted.platforms.end(), [&](const auto& platform) {
    return std::any_of(images.begin(), images.end(), [&](const ImageMaterial& other) {
      return other.ref == image.ref && other.platform && other.platform->os == platform.second.os &&
             other.platform->architecture == platform.second.architecture;
    });
  });
}

bool is_foreign(const ImageMaterial& image, const std::vector<ImageMaterial>& images, const WantedCapture& wanted) {
  auto mine = wanted.platforms.find(wanted.id);
  if (wanted.id.empty() || mine == wanted.platforms.end() || !image.platform) return false;
  if (image.platform->os == mine->second.os && image.platform->architecture == mine->second.architecture) return false;
  return for_every_platform(image, images, wanted);
}

}  // namespace

Capture RequestScope::capture(const WantedCapture& wanted, const source::Pins& pins,
                              const op::StepRecords* steps) const {
  Capture out;
  out.request = request_;
  if (request_ && root_ && !(*root_ == *request_) && !root_->empty()) out.root = root_;
  add_materials(*wanted.graph, pins, steps, out);
  std::vector<ImageMaterial> images;
  collect(wanted, pins, steps, out, images);
  for (const ImageMaterial& image : images) {
    if (!is_foreign(image, images, wanted)) out.add_image(image);
  }
  out.settle();
  return out;
}

}  // namespace kiln::daemon
