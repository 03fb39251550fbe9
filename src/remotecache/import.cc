// An imported cache: its configuration becomes a record store in memory, its layers trees that are
// fetched when needed.
#include <chrono>
#include <future>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/log.h"
#include "base/parallel.h"
#include "remotecache/cache_config.h"
#include "remotecache/object_export.h"
#include "remotecache/target.h"

namespace kiln::remotecache {
namespace {

constexpr std::int64_t kConfigBytesMax = 1 << 20;
constexpr int kIndexDepthMax = 3;

using LayersByDigest = std::map<Digest, content::Descriptor>;

// Layer chains by record id: "0", "1", …
struct Results {
  std::vector<std::vector<content::Descriptor>> chains;
  std::vector<std::size_t> last;  // those of records on which no other one builds
};

// Whose logins serve an imported layer: those who want the steps that were found, and the client that
// imported. It may be needed when that client has left. Any thread.
class Servers {
 public:
  explicit Servers(session::SessionGroup importer) : importer_(std::move(importer)) {}
  void add(session::SessionGroup::Ids ids) {
    std::lock_guard lock(mutex_);
    std::erase_if(wanting_, [](const auto& those) { return those().empty(); });
    if (wanting_.size() < kWantingMax) wanting_.push_back(std::move(ids));
  }
  std::vector<std::string> ids() const {
    std::vector<std::string> out;
    std::lock_guard lock(mutex_);
    for (const auto& those : wanting_) {
      for (std::string& id : those()) {
        if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(std::move(id));
      }
    }
    for (std::string& id : importer_.ids()) {
      if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(std::move(id));
    }
    return out;
  }

 private:
  static constexpr std::size_t kWantingMax = 256;
  session::SessionGroup importer_;
  mutable std::mutex mutex_;
  std::vector<session::SessionGroup::Ids> wanting_;
};

class ImportedOutputs final : public solve::OutputStore, public std::enable_shared_from_this<ImportedOutputs> {
 public:
  ImportedOutputs(Results results, std::shared_ptr<content::BlobProvider> provider, BlobCheck has,
                  std::shared_ptr<Servers> servers, Ports ports)
      : results_(std::move(results)),
        provider_(std::move(provider)),
        has_(std::move(has)),
        servers_(std::move(servers)),
        ports_(std::move(ports)) {}

  std::optional<solve::OutputRef> load(const std::string& record_id, solve::RunContext& context) override {
    std::size_t index = std::strtoul(record_id.c_str(), nullptr, 10);
    if (index >= results_.chains.size()) return std::nullopt;
    if (!all_there(results_.chains[index], context.stop)) return std::nullopt;
    // A step's question may be kept, as its reporter may; that of anybody else dies with the call.
    if (context.lasting_reporter) servers_->add(context.sessions);
    store::TreeRef tree;
    for (const auto& layer : results_.chains[index]) {
      auto next = ports_.trees->from_blob(tree, source_of(layer, context), options_of(layer));
      if (!next.ok()) {
        log_warn("imported cache: layer {}: {}", layer.digest.str(), message_of(next.status()));
        return std::nullopt;
      }
      tree = *std::move(next);
    }
    return ports_.make_output(std::move(tree));
  }

  Result<cache::Record> save(const solve::OutputRef&) override {
    return engine_error("an imported cache takes no records");
  }

  // A build in which nothing changed wants what the exporting one ended with: its layers are looked for while
  // the keys are still being told.
  void look_ahead(std::stop_token stop) {
    if (ports_.pool == nullptr || results_.last.empty() || results_.last.size() > kLastMax) return;
    ports_.pool->submit([self = shared_from_this(), stop = std::move(stop)] {
      for (std::size_t index : self->results_.last) {
        const auto& chain = self->results_.chains[index];
        if (chain.size() <= kLayersAheadMax) (void)self->look_for_all(chain, stop);
      }
    });
  }

 private:
  // Layers are fetched when they are needed, and then it is too late for a miss: so each is looked for
  // before it is promised, once.
  bool all_there(const std::vector<content::Descriptor>& layers, std::stop_token stop) {
    Status status = look_for_all(layers, stop);
    if (!status.ok() && !is_cancelled(status)) log_warn("imported cache: {}", message_of(status));
    return status.ok();
  }

  Status look_for_all(const std::vector<content::Descriptor>& layers, std::stop_token stop) {
    std::vector<std::function<Status()>> jobs;
    for (const auto& layer : layers) {
      jobs.push_back([this, &layer, stop] { return look_for(layer, stop); });
    }
    return run_parallel(ports_.pool, std::move(jobs), kLookupsMax);
  }

  // Whoever comes second waits for the first, and asks himself when that one got no good answer.
  Status look_for(const content::Descriptor& layer, std::stop_token stop) {
    std::promise<Status> told;
    std::shared_future<Status> answer;
    {
      std::lock_guard lock(mutex_);
      auto [it, first] = looked_for_.try_emplace(layer.digest);
      if (first) {
        it->second = told.get_future().share();
      } else {
        answer = it->second;
      }
    }
    if (answer.valid()) {
      while (answer.wait_for(kStopInterval) != std::future_status::ready) {
        if (stop.stop_requested()) return cancelled();
      }
      return answer.get().ok() ? ok() : ask_for(layer, stop);
    }
    Status found = ask_for(layer, stop);
    if (!found.ok()) {
      std::lock_guard lock(mutex_);
      looked_for_.erase(layer.digest);
    }
    told.set_value(found);
    return found;
  }

  Status ask_for(const content::Descriptor& layer, std::stop_token stop) {
    if (auto mine = ports_.blobs->info(layer.digest); mine.ok() && *mine) return ok();
    KILN_ASSIGN_OR_RETURN(bool there, has_(layer, stop));
    return there ? ok() : peer_error(Code::kNotFound, fmt::format("layer {} is gone", layer.digest.str()));
  }

  store::LayerSource source_of(const content::Descriptor& layer, solve::RunContext& context) const {
    store::LayerSource out;
    out.blob = layer;
    if (auto it = layer.annotations.find(std::string(content::kUncompressedAnnotation));
        it != layer.annotations.end()) {
      out.diff_id = Digest::trusted(it->second);
    }
    out.provider = provider_;
    out.reporter = context.lasting_reporter;
    return out;
  }

  static store::TreeOptions options_of(const content::Descriptor& layer) {
    store::TreeOptions out;
    out.description = "imported cache layer";
    if (auto it = layer.annotations.find("buildkit/description"); it != layer.annotations.end())
      out.description = it->second;
    if (auto it = layer.annotations.find(std::string(content::kCreatedAtAnnotation)); it != layer.annotations.end()) {
      if (auto time = parse_rfc3339(it->second); time.ok()) out.created = *time;
    }
    return out;
  }

  static constexpr std::size_t kLookupsMax = 8;
  static constexpr std::size_t kLastMax = 4, kLayersAheadMax = 64;
  static constexpr auto kStopInterval = std::chrono::milliseconds(50);

  Results results_;
  std::shared_ptr<content::BlobProvider> provider_;
  BlobCheck has_;
  std::shared_ptr<Servers> servers_;
  Ports ports_;
  std::mutex mutex_;
  std::map<Digest, std::shared_future<Status>> looked_for_;  // layers known to be there, or asked for now
};

// Fills a record store from a configuration. Keys of records with inputs are made of their inputs'
// keys; a record that leads to itself is left out.
class Filler {
 public:
  Filler(const CacheConfig& config, const LayersByDigest& layers, cache::RecordStore& records, Results& results)
      : config_(config),
        layers_(layers),
        records_(records),
        results_(results),
        keys_(config.records.size()),
        built_on_(config.records.size()) {}

  void fill() {
    for (const auto& record : config_.records) {
      for (const auto& input : record.inputs) {
        for (const auto& link : input) built_on_[static_cast<std::size_t>(link.link)] = true;
      }
    }
    for (std::size_t i = 0; i < config_.records.size(); ++i) add(static_cast<int>(i));
  }

 private:
  enum class State { kNew, kBegun, kDone };
  struct Key {
    State state = State::kNew;
    cache::KeyId id;  // "" = unusable
  };

  void add(int start) {
    std::vector<int> stack = {start};
    while (!stack.empty()) {
      int index = stack.back();
      Key& key = keys_[static_cast<std::size_t>(index)];
      if (key.state == State::kDone) {
        stack.pop_back();
        continue;
      }
      if (key.state == State::kBegun) {
        finish(index);
        stack.pop_back();
        continue;
      }
      key.state = State::kBegun;
      for (const auto& input : config_.records[static_cast<std::size_t>(index)].inputs) {
        for (const auto& link : input) {
          if (keys_[static_cast<std::size_t>(link.link)].state == State::kNew) stack.push_back(link.link);
        }
      }
    }
  }

  void finish(int index) {
    const auto& record = config_.records[static_cast<std::size_t>(index)];
    Key& key = keys_[static_cast<std::size_t>(index)];
    key.state = State::kDone;
    std::vector<cache::InputKey> primary;
    std::vector<std::vector<cache::InputKey>> alternatives;
    for (const auto& input : record.inputs) {
      auto& usable = alternatives.emplace_back();
      for (const auto& link : input) {
        const auto& from = keys_[static_cast<std::size_t>(link.link)];
        if (from.state == State::kDone && !from.id.empty()) usable.push_back({from.id, link.selector});
      }
      if (usable.empty()) return;
      std::sort(usable.begin(), usable.end());
      primary.push_back(usable.front());
    }
    key.id = record.inputs.empty() ? record.digest : cache::derived_key(record.digest, primary);
    cache::link_inputs(records_, record.digest, alternatives, key.id);
    const std::size_t before = results_.chains.size();
    for (const auto& result : record.results) add_result(key.id, chain_of(result.layer), result.created);
    for (const auto& chain : record.chains) add_result(key.id, chain.layers, chain.created);
    if (built_on_[static_cast<std::size_t>(index)]) return;
    for (std::size_t i = before; i < results_.chains.size(); ++i) results_.last.push_back(i);
  }

  std::vector<int> chain_of(int layer) const {
    std::vector<int> out;
    for (int at = layer; at != -1; at = config_.layers[static_cast<std::size_t>(at)].parent) out.push_back(at);
    std::reverse(out.begin(), out.end());
    return out;
  }

  void add_result(const cache::KeyId& key, const std::vector<int>& chain, std::optional<Time> created) {
    std::vector<content::Descriptor> descriptors;
    for (int index : chain) {
      auto it = layers_.find(config_.layers[static_cast<std::size_t>(index)].blob);
      if (it == layers_.end()) return;  // the manifest does not carry it
      descriptors.push_back(it->second);
    }
    records_.add_record(key, {std::to_string(results_.chains.size()), created.value_or(Time{})});
    results_.chains.push_back(std::move(descriptors));
  }

  const CacheConfig& config_;
  const LayersByDigest& layers_;
  cache::RecordStore& records_;
  Results& results_;
  std::vector<Key> keys_;
  std::vector<bool> built_on_;  // whether a record is an input of another
};

class Reader {
 public:
  Reader(const Origin& origin, const ImportContext& context, cache::RecordStore& records, Results& results)
      : origin_(origin), context_(context), records_(records), results_(results) {}

  Status read(std::string_view manifest_text, int depth = 0);

 private:
  Status read_config(const content::Descriptor& config, const LayersByDigest& layers);
  Status read_image(const content::Manifest& manifest);
  Result<std::string> read_small(const content::Descriptor& blob, std::int64_t bytes_max);

  const Origin& origin_;
  const ImportContext& context_;
  cache::RecordStore& records_;
  Results& results_;
};

Result<std::string> Reader::read_small(const content::Descriptor& blob, std::int64_t bytes_max) {
  if (blob.size > bytes_max) {
    return peer_error(Code::kFailedPrecondition,
                      fmt::format("blob {} is too large ({} > {})", blob.digest.str(), blob.size, bytes_max));
  }
  return content::read_blob(*origin_.provider, blob, context_.stop);
}

Status Reader::read(std::string_view text, int depth) {
  if (auto manifest = content::parse_manifest(text); manifest.ok() && !manifest->config.digest.empty()) {
    if (manifest->config.media_type != kCacheConfigType) return read_image(*manifest);
    LayersByDigest layers;
    for (const auto& layer : manifest->layers) layers[layer.digest] = layer;
    return read_config(manifest->config, layers);
  }
  KILN_ASSIGN_OR_RETURN(auto index, content::parse_index(text));
  LayersByDigest layers;
  for (const auto& entry : index.manifests) layers[entry.digest] = entry;
  for (const auto& entry : index.manifests) {
    if (entry.media_type == kCacheConfigType) return read_config(entry, layers);
  }
  if (depth >= kIndexDepthMax) return ok();
  for (const auto& entry : index.manifests) {
    KILN_ASSIGN_OR_RETURN(auto nested, read_small(entry, kConfigBytesMax));
    if (Status status = read(nested, depth + 1); !status.ok()) log_warn("inline cache: {}", message_of(status));
  }
  return ok();
}

Status Reader::read_config(const content::Descriptor& config, const LayersByDigest& layers) {
  KILN_ASSIGN_OR_RETURN(auto text, read_small(config, kConfigBytesMax));
  KILN_ASSIGN_OR_RETURN(auto parsed, parse_cache_config(text));
  Filler(parsed, layers, records_, results_).fill();
  return ok();
}

// Times and descriptions of an image's layers, from its history.
void annotate_layers(const nlohmann::json& config, std::vector<content::Descriptor>& layers) {
  std::size_t at = 0;
  for (const auto& entry : config.value("history", nlohmann::json::array())) {
    if (entry.value("empty_layer", false)) continue;
    if (at >= layers.size()) return;
    auto& annotations = layers[at++].annotations;
    if (auto created = entry.value("created", ""); !created.empty()) {
      annotations[std::string(content::kCreatedAtAnnotation)] = created;
    }
    if (auto by = entry.value("created_by", ""); !by.empty()) annotations["buildkit/description"] = by;
  }
}

// An image with records inside; one without is simply no cache.
Status Reader::read_image(const content::Manifest& manifest) {
  KILN_ASSIGN_OR_RETURN(auto text, read_small(manifest.config, 8 * kConfigBytesMax));
  CacheConfig parsed;
  LayersByDigest layers;
  try {
    auto config = nlohmann::json::parse(text);
    if (!config.is_object() || !config.contains("moby.buildkit.cache.v0")) return ok();
    auto records = base64_decode(config["moby.buildkit.cache.v0"].get<std::string>());
    if (!records) return peer_error(Code::kFailedPrecondition, "invalid inline cache: no base64");
    KILN_ASSIGN_OR_RETURN(parsed.records, parse_cache_records(*records));
    auto diff_ids = config.at("rootfs").at("diff_ids").get<std::vector<std::string>>();
    if (diff_ids.size() != manifest.layers.size()) return ok();
    auto described = manifest.layers;
    annotate_layers(config, described);
    for (std::size_t i = 0; i < described.size(); ++i) {
      described[i].annotations[std::string(content::kUncompressedAnnotation)] = diff_ids[i];
      layers[described[i].digest] = described[i];
      parsed.layers.push_back({described[i].digest, static_cast<int>(i) - 1, std::nullopt});
    }
  } catch (const nlohmann::json::exception& e) {
    return peer_error(Code::kFailedPrecondition, fmt::format("invalid image configuration: {}", e.what()));
  }
  // Records are numbered by the image's layers: check them as a whole configuration.
  KILN_ASSIGN_OR_RETURN(parsed, parse_cache_config(to_json(parsed)));
  Filler(parsed, layers, records_, results_).fill();
  return ok();
}

}  // namespace

namespace {

// Layers as the configuration itself tells them, where there is no manifest.
LayersByDigest annotated_layers(const CacheConfig& config) {
  LayersByDigest out;
  for (const auto& layer : config.layers) {
    if (!layer.annotations || layer.annotations->diff_id.empty()) continue;
    content::Descriptor& descriptor = out[layer.blob];
    descriptor.media_type = layer.annotations->media_type;
    descriptor.digest = layer.blob;
    descriptor.size = layer.annotations->size;
    descriptor.annotations[std::string(content::kUncompressedAnnotation)] = layer.annotations->diff_id;
    if (layer.annotations->created) {
      descriptor.annotations[std::string(content::kCreatedAtAnnotation)] = format_rfc3339(*layer.annotations->created);
    }
  }
  return out;
}

Status read_objects(ObjectStore& store, const ImportContext& context, cache::RecordStore& records, Results& results) {
  KILN_ASSIGN_OR_RETURN(auto configs, store.configs(context.stop));
  for (const std::string& text : configs) {
    KILN_ASSIGN_OR_RETURN(auto parsed, parse_cache_config(text));
    const LayersByDigest layers = annotated_layers(parsed);
    Filler(parsed, layers, records, results).fill();
  }
  return ok();
}

}  // namespace

namespace {

Result<solve::CacheSource> import_known(const Spec& spec, const Ports& ports, ImportContext context) {
  auto servers = std::make_shared<Servers>(context.sessions);
  if (ports.sessions != nullptr) {
    context.sessions = session::SessionGroup(*ports.sessions, [servers] { return servers->ids(); });
  }
  auto records = std::make_shared<cache::MemoryRecordStore>();
  Results results;
  std::shared_ptr<content::BlobProvider> provider;
  BlobCheck has;
  KILN_ASSIGN_OR_RETURN(auto objects, make_object_origin(spec, ports));
  if (objects) {
    KILN_RETURN_IF_ERROR(read_objects(*objects, context, *records, results));
    provider = objects;
    has = [objects](const content::Descriptor& blob, std::stop_token stop) { return objects->has(blob, stop); };
  } else {
    Origin origin;
    if (spec.type == "registry") {
      KILN_ASSIGN_OR_RETURN(origin, open_registry_origin(spec.attrs, ports, context));
    } else if (spec.type == "local") {
      KILN_ASSIGN_OR_RETURN(origin, open_local_origin(spec.attrs, ports, context));
    } else {
      return user_error(Code::kUnimplemented, fmt::format("unknown cache importer: \"{}\"", spec.type));
    }
    KILN_RETURN_IF_ERROR(Reader(origin, context, *records, results).read(origin.manifest));
    provider = origin.provider;
    has = origin.has;
  }
  auto outputs = std::make_shared<ImportedOutputs>(std::move(results), std::move(provider), std::move(has),
                                                   std::move(servers), ports);
  if (spec.type == "registry") outputs->look_ahead(context.stop);
  return solve::CacheSource{std::move(records), std::move(outputs)};
}

}  // namespace

Result<solve::CacheSource> make_cache_import(const Spec& spec, const Ports& ports, ImportContext context) {
  auto made = import_known(spec, ports, std::move(context));
  if (made.ok() || made.status().code() == Code::kUnimplemented) return made;
  return annotate(made.status(), fmt::format("failed to configure {} cache importer", spec.type));
}

}  // namespace kiln::remotecache
