#include "export/internal/push.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/parallel.h"

namespace kiln::exporter::internal {

using content::Descriptor;

// What a root leads to: manifests with their bytes, parents before children, and blobs, each once.
struct ImagePush::Contents {
  std::vector<std::pair<Descriptor, std::string>> manifests;
  std::vector<Descriptor> blobs;

  Status collect(const Descriptor& d, ResultBlobs& from, std::stop_token stop, std::set<Digest>& seen);
};

Status ImagePush::Contents::collect(const Descriptor& d, ResultBlobs& from, std::stop_token stop,
                                    std::set<Digest>& seen) {
  if (!seen.insert(d.digest).second) return ok();
  bool index = content::is_index_type(d.media_type);
  if (!index && !content::is_manifest_type(d.media_type)) {
    if (!content::is_foreign_layer_type(d.media_type)) blobs.push_back(d);
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(std::string bytes, content::read_blob(from, d, stop));
  if (index) {
    KILN_ASSIGN_OR_RETURN(auto parsed, content::parse_index(bytes));
    manifests.emplace_back(d, std::move(bytes));
    for (const auto& child : parsed.manifests) KILN_RETURN_IF_ERROR(collect(child, from, stop, seen));
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(auto parsed, content::parse_manifest(bytes));
  manifests.emplace_back(d, std::move(bytes));
  KILN_RETURN_IF_ERROR(collect(parsed.config, from, stop, seen));
  for (const auto& layer : parsed.layers) KILN_RETURN_IF_ERROR(collect(layer, from, stop, seen));
  return ok();
}

namespace {

// Not to be had, or mounted, from another repository.
bool is_here_alone(const store::LayerBlob& layer) {
  if (layer.provider || content::is_foreign_layer_type(layer.blob.media_type)) return false;
  return std::none_of(layer.blob.annotations.begin(), layer.blob.annotations.end(),
                      [](const auto& note) { return note.first.starts_with("containerd.io/distribution.source."); });
}

}  // namespace

Result<Reference> ImagePush::target() const {
  KILN_ASSIGN_OR_RETURN(Reference ref, Reference::parse(options_.name));
  if (options_.by_digest && !ref.name_only()) {
    return user_error(Code::kInvalidArgument, fmt::format("can't push tagged ref {} by digest", ref.str()));
  }
  return options_.by_digest ? ref : ref.with_default_tag();
}

registry::Access ImagePush::access(ExportContext& context) const {
  registry::Access access;
  if (ports_.credentials) access.credentials = ports_.credentials(context.sessions);
  access.insecure = options_.insecure;
  access.stop = context.stop;
  return access;
}

const registry::Standing& ImagePush::standing(const Reference& ref, const registry::Access& access) {
  std::lock_guard lock(mutex_);
  if (!standing_) standing_ = ports_.registry->standing(ref, access);
  return *standing_;
}

bool ImagePush::ahead_failed() {
  std::lock_guard lock(mutex_);
  return !ahead_.ok();
}

void ImagePush::send_ahead(const store::LayerBlob& layer, ExportContext& context) {
  if (!ports_.registry || !is_here_alone(layer) || ahead_failed()) return;
  Result<Reference> ref = target();
  if (!ref.ok()) return;
  const registry::Access to = access(context);
  if (standing(*ref, to).blobs.contains(layer.blob.digest)) return;
  registry::BlobOpener open = [&](std::uint64_t offset) -> Result<std::unique_ptr<ByteSource>> {
    return ports_.blobs->open(layer.blob.digest, static_cast<std::int64_t>(offset));
  };
  Result<registry::Pushed> pushed = ports_.registry->push_blob(*ref, layer.blob, open, {}, to, {}, &series_);
  std::lock_guard lock(mutex_);
  if (pushed.ok()) {
    sent_.insert(layer.blob.digest);
  } else if (ahead_.ok()) {
    ahead_ = pushed.status();
  }
}

Status ImagePush::send_blobs(const Contents& contents, const Reference& ref, const registry::Access& access,
                             ResultBlobs& blobs, ExportContext& context) {
  event::Phase phase(context.reporter, "pushing layers");
  std::vector<std::function<Status()>> jobs;
  for (const auto& blob : contents.blobs) {
    if (sent_.contains(blob.digest) || standing_->blobs.contains(blob.digest)) continue;
    jobs.push_back([&, blob] {
      registry::BlobOpener open = [&](std::uint64_t offset) {
        return blobs.open(blob, static_cast<std::int64_t>(offset), access.stop);
      };
      auto from = blobs.repositories(blob.digest, ref.domain);
      return ports_.registry->push_blob(ref, blob, open, from, access, {}, &series_).status();
    });
  }
  return run_parallel(ports_.pool, std::move(jobs));
}

Status ImagePush::send_manifests(const Contents& contents, const Descriptor& root, const Reference& ref,
                                 const registry::Access& access, ExportContext& context) {
  Reference shown = ref.with_digest(root.digest);
  event::Phase phase(context.reporter,
                     fmt::format("pushing manifest for {}", options_.by_digest ? ref.name() : shown.str()));
  if (standing_->manifest == root.digest) return ok();
  for (auto it = contents.manifests.rbegin(); it != contents.manifests.rend(); ++it) {
    const auto& [descriptor, bytes] = *it;
    bool is_root = descriptor.digest == root.digest;
    Reference target = is_root ? ref : ref.without_tag();
    KILN_RETURN_IF_ERROR(ports_.registry->push_manifest(target, descriptor, bytes, access));
  }
  return ok();
}

Status ImagePush::send(const Contents& contents, const Descriptor& root, const Reference& ref,
                       const registry::Access& access, ResultBlobs& blobs, ExportContext& context) {
  KILN_RETURN_IF_ERROR(send_blobs(contents, ref, access, blobs, context));
  return send_manifests(contents, root, ref, access, context);
}

Status ImagePush::finish(const Descriptor& root, ResultBlobs& blobs, ExportContext& context) {
  if (!ports_.registry) return engine_error("no registry client to push with");
  KILN_ASSIGN_OR_RETURN(Reference ref, target());
  if (!ahead_.ok()) return ahead_;  // after all its tries
  const registry::Access to = access(context);
  Contents contents;
  std::set<Digest> seen;
  KILN_RETURN_IF_ERROR(contents.collect(root, blobs, context.stop, seen));
  standing(options_.by_digest ? ref.with_digest(root.digest) : ref, to);
  Status sent = send(contents, root, ref, to, blobs, context);
  if (get_detail(sent, registry::kMissingBlobsDetail)) {
    // What the registry was believed to have, it has not: each blob is asked for.
    standing_ = registry::Standing();
    sent_.clear();
    sent = send(contents, root, ref, to, blobs, context);
  }
  KILN_RETURN_IF_ERROR(sent);
  registry::Standing pushed{root.digest, {}, standing_->manifest.empty() ? begun_ : standing_->seen};
  for (const auto& blob : contents.blobs) pushed.blobs.insert(blob.digest);
  ports_.registry->remember_push(ref, to, std::move(pushed));
  return ok();
}

}  // namespace kiln::exporter::internal
