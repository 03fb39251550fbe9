#include "remotecache/collect.h"

#include <algorithm>
#include <set>

#include "base/log.h"

namespace kiln::remotecache {
namespace {

// Walks the key graph from the results towards the roots, without recursion, and builds the records
// inputs first.
class Collector {
 public:
  Collector(const CollectOptions& options, const Ports& ports, Context& context)
      : options_(options), ports_(ports), context_(context) {}

  // Makes the layers of a result, so that they exist when others are looked at.
  Status prepare(const store::TreeRef& tree);
  Status add(const Exported& result);
  Collected take();

 private:
  // Alternatives by input for one out-key.
  using Inputs = std::map<int, std::set<cache::InputKey>>;

  Status visit(const cache::KeyId& start);
  Status finish_key(const cache::KeyId& key);
  std::map<std::string, Inputs> inputs_of(const cache::KeyId& key) const;
  enum class Making { kForbidden, kAllowed };
  Status add_layers(const cache::KeyId& key, CacheRecord& record);
  Status add_imported(const cache::KeyId& key, bool make, CacheRecord& record);
  bool stands_on_lost(const store::TreeRef& tree) const;
  bool all_collected(const std::vector<store::LayerBlob>& layers) const;
  Result<std::optional<std::vector<store::LayerBlob>>> layers_of(const store::TreeRef& tree, Making making);
  Status add_chain(const std::vector<store::LayerBlob>& layers, Time created, CacheRecord& record);

  const CollectOptions& options_;
  const Ports& ports_;
  Context& context_;
  // Found trees: the next one on top of them need not read its whole chain from the database.
  std::vector<store::TreeRef> held_;
  std::set<cache::KeyId> final_keys_;
  std::set<Digest> result_blobs_;
  std::map<cache::KeyId, std::vector<int>> records_of_;  // finished keys
  std::set<cache::KeyId> begun_;
  std::map<std::pair<int, Digest>, int> layer_index_;  // (parent, blob) → index
  Collected out_;
};

std::map<std::string, Collector::Inputs> Collector::inputs_of(const cache::KeyId& key) const {
  std::map<std::string, Inputs> out;
  for (const auto& back : ports_.records->backlinks(key)) {
    out[back.link.out_key][back.link.input].insert({back.from, back.link.selector});
  }
  return out;
}

Status Collector::add(const Exported& result) {
  final_keys_.insert(result.keys.begin(), result.keys.end());
  for (const auto& key : result.keys) KILN_RETURN_IF_ERROR(visit(key));
  return ok();
}

Status Collector::prepare(const store::TreeRef& tree) {
  KILN_ASSIGN_OR_RETURN(auto layers, layers_of(tree, Making::kAllowed));
  if (!layers) return ok();
  for (const auto& layer : *layers) result_blobs_.insert(layer.blob.digest);
  return ok();
}

Status Collector::visit(const cache::KeyId& start) {
  std::vector<cache::KeyId> stack = {start};
  while (!stack.empty()) {
    if (context_.stop.stop_requested()) return cancelled();
    cache::KeyId key = stack.back();
    if (records_of_.contains(key)) {
      stack.pop_back();
      continue;
    }
    if (!begun_.insert(key).second) {
      KILN_RETURN_IF_ERROR(finish_key(key));
      stack.pop_back();
      continue;
    }
    for (const auto& [out_key, inputs] : inputs_of(key)) {
      for (const auto& [input, alternatives] : inputs) {
        for (const auto& alternative : alternatives) {
          if (!begun_.contains(alternative.key)) stack.push_back(alternative.key);
        }
      }
    }
  }
  return ok();
}

// All that leads to the key is finished (or part of a loop, which is left out).
Status Collector::finish_key(const cache::KeyId& key) {
  auto& mine = records_of_[key];
  auto by_out_key = inputs_of(key);
  if (by_out_key.empty()) {
    if (!key.starts_with("sha256:")) return ok();  // "random:": means nothing elsewhere
    CacheRecord record;
    record.digest = key;
    KILN_RETURN_IF_ERROR(add_layers(key, record));
    mine.push_back(static_cast<int>(out_.config.records.size()));
    out_.config.records.push_back(std::move(record));
    return ok();
  }
  for (const auto& [out_key, inputs] : by_out_key) {
    CacheRecord record;
    record.digest = out_key;
    bool complete = !inputs.empty() && inputs.rbegin()->first == static_cast<int>(inputs.size()) - 1;
    for (const auto& [input, alternatives] : inputs) {
      auto& links = record.inputs.emplace_back();
      for (const auto& alternative : alternatives) {
        auto from = records_of_.find(alternative.key);
        if (from == records_of_.end()) continue;
        for (int index : from->second) links.push_back({alternative.selector, index});
      }
      complete &= !links.empty();
    }
    if (!complete || out_key.starts_with("random:")) continue;
    KILN_RETURN_IF_ERROR(add_layers(key, record));
    mine.push_back(static_cast<int>(out_.config.records.size()));
    out_.config.records.push_back(std::move(record));
  }
  return ok();
}

Status Collector::add_layers(const cache::KeyId& key, CacheRecord& record) {
  const bool is_root = record.inputs.empty();
  const bool make = final_keys_.contains(key) || (options_.mode == Mode::kMax && !is_root);
  if (is_root && !final_keys_.contains(key)) return ok();
  for (const auto& stored : ports_.records->records(key)) {
    auto tree = ports_.trees->find(stored.id);
    if (!tree.ok() || !*tree) continue;
    held_.push_back(**tree);
    KILN_ASSIGN_OR_RETURN(auto layers, layers_of(**tree, make ? Making::kAllowed : Making::kForbidden));
    if (layers) return add_chain(*layers, stored.created, record);
  }
  return add_imported(key, make, record);
}

// A step above this one was found in an imported cache, so this one was not looked for: its record is passed on.
Status Collector::add_imported(const cache::KeyId& key, bool make, CacheRecord& record) {
  for (const auto& source : context_.imports) {
    for (const auto& stored : source.records->records(key)) {
      solve::RunContext run{context_.stop, context_.reporter, Digest(), [this] { return context_.sessions.ids(); }};
      auto output = source.outputs->load(stored.id, run);
      store::TreeRef tree = output ? ports_.tree_of(*output) : nullptr;
      if (!tree) continue;
      KILN_ASSIGN_OR_RETURN(auto layers, layers_of(tree, Making::kForbidden));
      if (!layers || (!make && !all_collected(*layers))) continue;
      return add_chain(*layers, stored.created, record);
    }
  }
  return ok();
}

bool Collector::stands_on_lost(const store::TreeRef& tree) const {
  return std::any_of(options_.lost.begin(), options_.lost.end(),
                     [&](const std::string& id) { return store::made_of(tree, id); });
}

bool Collector::all_collected(const std::vector<store::LayerBlob>& layers) const {
  return std::all_of(layers.begin(), layers.end(),
                     [&](const auto& layer) { return result_blobs_.contains(layer.blob.digest); });
}

// Layers that exist are taken as they are, wherever their bytes lie, unless another compression is a must.
Result<std::optional<std::vector<store::LayerBlob>>> Collector::layers_of(const store::TreeRef& tree, Making making) {
  if (stands_on_lost(tree)) return std::nullopt;
  if (making == Making::kForbidden || !options_.layers.force_compression) {
    auto existing = ports_.trees->existing_layers(tree);
    if (existing.ok() && (*existing || making == Making::kForbidden)) return *std::move(existing);
    if (making == Making::kForbidden) return std::nullopt;
  }
  auto layers = ports_.trees->layers(tree, options_.layers, context_.stop, &context_.reporter);
  if (layers.ok()) return *std::move(layers);
  return is_cancelled(layers.status()) ? layers.status() : annotate(layers.status(), "make layers for the cache");
}

Status Collector::add_chain(const std::vector<store::LayerBlob>& layers, Time created, CacheRecord& record) {
  int parent = -1;
  for (const auto& layer : layers) {
    auto [it, is_new] =
        layer_index_.try_emplace({parent, layer.blob.digest}, static_cast<int>(out_.config.layers.size()));
    if (is_new) out_.config.layers.push_back({layer.blob.digest, parent, std::nullopt});
    if (out_.blobs.try_emplace(layer.blob.digest, layer).second && options_.found) options_.found(layer);
    parent = it->second;
  }
  if (parent >= 0) record.results.push_back({parent, created});
  return ok();
}

Collected Collector::take() {
  sort_config(out_.config);
  return std::move(out_);
}

}  // namespace

Result<Collected> collect(const std::vector<Exported>& results, const CollectOptions& options, const Ports& ports,
                          Context& context) {
  Collector collector(options, ports, context);
  // The results' own blobs first: the other records are then found with the blobs that exist.
  for (const auto& result : results) {
    if (!result.tree) continue;
    KILN_RETURN_IF_ERROR(collector.prepare(result.tree));
  }
  for (const auto& result : results) KILN_RETURN_IF_ERROR(collector.add(result));
  return collector.take();
}

Result<Attrs> without_lost(const std::function<Result<Attrs>(const std::set<std::string>& lost)>& attempt) {
  std::set<std::string> lost;
  for (;;) {
    Result<Attrs> answer = attempt(lost);
    const std::optional<std::string> one = get_detail(answer.status(), store::kLostTreeDetail);
    if (!one || !lost.insert(*one).second) return answer;
    log_warn("cache export: a lost layer is left out: {}", message_of(answer.status()));
  }
}

}  // namespace kiln::remotecache
