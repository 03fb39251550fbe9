#include "export/internal/push.h"

#include <fmt/format.h>

#include <atomic>
#include <set>

#include "base/parallel.h"
#include "registry/client.h"

namespace kiln::exporter::internal {
namespace {

using content::Descriptor;

// What a root leads to: manifests with their bytes, parents before children, and blobs, each once.
struct Contents {
  std::vector<std::pair<Descriptor, std::string>> manifests;
  std::vector<Descriptor> blobs;
};

Status collect(const Descriptor& d, ResultBlobs& blobs, std::stop_token stop, std::set<Digest>& seen, Contents& out) {
  if (!seen.insert(d.digest).second) return ok();
  bool index = content::is_index_type(d.media_type);
  if (!index && !content::is_manifest_type(d.media_type)) {
    if (!content::is_foreign_layer_type(d.media_type)) out.blobs.push_back(d);
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(std::string bytes, content::read_blob(blobs, d, stop));
  if (index) {
    KILN_ASSIGN_OR_RETURN(auto parsed, content::parse_index(bytes));
    out.manifests.emplace_back(d, std::move(bytes));
    for (const auto& child : parsed.manifests) KILN_RETURN_IF_ERROR(collect(child, blobs, stop, seen, out));
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(auto parsed, content::parse_manifest(bytes));
  out.manifests.emplace_back(d, std::move(bytes));
  KILN_RETURN_IF_ERROR(collect(parsed.config, blobs, stop, seen, out));
  for (const auto& layer : parsed.layers) KILN_RETURN_IF_ERROR(collect(layer, blobs, stop, seen, out));
  return ok();
}

Result<Reference> target_of(const PushOptions& options) {
  KILN_ASSIGN_OR_RETURN(Reference ref, Reference::parse(options.name));
  if (options.by_digest && !ref.name_only()) {
    return user_error(Code::kInvalidArgument, fmt::format("can't push tagged ref {} by digest", ref.str()));
  }
  return options.by_digest ? ref : ref.with_default_tag();
}

Status push_blobs(const Contents& contents, const Reference& ref, ResultBlobs& blobs, const ExportPorts& ports,
                  const registry::Access& access, ExportContext& context) {
  event::Phase phase(context.reporter, "pushing layers");
  std::vector<std::function<Status()>> jobs;
  for (const auto& blob : contents.blobs) {
    jobs.push_back([&, blob] {
      registry::BlobOpener open = [&](std::uint64_t offset) {
        return blobs.open(blob, static_cast<std::int64_t>(offset), access.stop);
      };
      auto pushed = ports.registry->push_blob(ref, blob, open, blobs.repositories(blob.digest, ref.domain), access);
      return pushed.status();
    });
  }
  return run_parallel(ports.pool, std::move(jobs));
}

}  // namespace

Status push_image(const Descriptor& root, ResultBlobs& blobs, const ExportPorts& ports, const PushOptions& options,
                  ExportContext& context) {
  if (!ports.registry) return engine_error("no registry client to push with");
  KILN_ASSIGN_OR_RETURN(Reference ref, target_of(options));
  registry::Access access;
  if (ports.credentials) access.credentials = ports.credentials(context.sessions);
  access.insecure = options.insecure;
  access.stop = context.stop;

  Contents contents;
  std::set<Digest> seen;
  KILN_RETURN_IF_ERROR(collect(root, blobs, context.stop, seen, contents));
  KILN_RETURN_IF_ERROR(push_blobs(contents, ref, blobs, ports, access, context));

  Reference shown = ref.with_digest(root.digest);
  event::Phase phase(context.reporter, fmt::format("pushing manifest for {}", options.by_digest ? ref.name() : shown.str()));
  for (auto it = contents.manifests.rbegin(); it != contents.manifests.rend(); ++it) {
    const auto& [descriptor, bytes] = *it;
    bool is_root = descriptor.digest == root.digest;
    Reference target = is_root ? ref : ref.without_tag();
    KILN_RETURN_IF_ERROR(ports.registry->push_manifest(target, descriptor, bytes, access));
  }
  return ok();
}

}  // namespace kiln::exporter::internal
