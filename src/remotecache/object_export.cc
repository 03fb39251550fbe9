#include "remotecache/object_export.h"

#include <cstdlib>
#include <functional>
#include <optional>

#include "base/parallel.h"
#include "remotecache/cache_config.h"
#include "remotecache/collect.h"
#include "remotecache/export_options.h"

namespace kiln::remotecache {
namespace {

class ObjectExport final : public CacheExport {
 public:
  ObjectExport(std::string name, ExportOptions options, std::shared_ptr<ObjectStore> store, Ports ports)
      : name_(std::move(name)), options_(std::move(options)), store_(std::move(store)), ports_(std::move(ports)) {}

  std::string vertex_name() const override { return name_; }
  bool ignore_error() const override { return options_.ignore_error; }

  Result<Attrs> run(const std::vector<Exported>& results, Context& context) override {
    return without_lost([&](const std::set<std::string>& lost) { return attempt(results, lost, context); });
  }

 private:
  Result<Attrs> attempt(const std::vector<Exported>& results, const std::set<std::string>& lost, Context& context) {
    auto preparing = std::make_unique<event::Phase>(context.reporter, "preparing build cache for export");
    KILN_ASSIGN_OR_RETURN(auto collected,
                          collect(results, {options_.mode, options_.layers, {}, lost}, ports_, context));
    preparing.reset();
    std::vector<std::function<Status()>> jobs;
    for (const auto& [digest, blob] : collected.blobs) {
      jobs.push_back([this, &blob = blob, &context] { return send(blob, context); });
    }
    KILN_RETURN_IF_ERROR(run_parallel(ports_.pool, std::move(jobs), store_->uploads_max()));
    for (auto& layer : collected.config.layers) {
      const auto& blob = collected.blobs.at(layer.blob);
      layer.annotations = LayerAnnotations{blob.blob.media_type, blob.diff_id.str(), blob.blob.size, blob.created};
    }
    event::Phase writing(context.reporter, "writing cache manifest");
    KILN_RETURN_IF_ERROR(store_->put_config(to_json(collected.config), context.stop));
    return Attrs();
  }

  Status send(const store::LayerBlob& layer, Context& context) {
    if (context.stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(bool there, store_->keep(layer.blob, context.stop));
    if (there) return ok();
    event::Phase writing(context.reporter, fmt::format("writing layer {}", layer.blob.digest.str()), layer.blob.size);
    Status status = store_->put(layer.blob, *ports_.trees->provider_for(layer), context.stop);
    return status.ok() || is_cancelled(status) ? status : annotate(status, "error writing layer blob");
  }

  std::string name_;
  ExportOptions options_;
  std::shared_ptr<ObjectStore> store_;
  Ports ports_;
};

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

StoreServices store_services(const Ports& ports) { return {ports.http, &system_clock(), environment}; }

Result<std::shared_ptr<ObjectStore>> make_object_origin(const Spec& spec, const Ports& ports) {
  if (spec.type == "s3") return make_s3_store(spec.attrs, store_services(ports));
  if (spec.type == "azblob") return make_azblob_store(spec.attrs, store_services(ports));
  if (spec.type == "gha") return make_gha_store(spec.attrs, store_services(ports));
  return std::shared_ptr<ObjectStore>();
}

Result<std::unique_ptr<CacheExport>> make_object_export(const Spec& spec, const Ports& ports) {
  KILN_ASSIGN_OR_RETURN(auto store, make_object_origin(spec, ports));
  if (!store) return std::unique_ptr<CacheExport>();
  KILN_ASSIGN_OR_RETURN(ExportOptions options, ExportOptions::read(spec.attrs, Compressions::kDefault));
  std::string name = "exporting cache to Amazon S3";
  if (spec.type == "azblob") name = "exporting cache to Azure Blob Storage";
  if (spec.type == "gha") name = "exporting to GitHub Actions Cache";
  return std::unique_ptr<CacheExport>(new ObjectExport(std::move(name), std::move(options), std::move(store), ports));
}

}  // namespace kiln::remotecache
