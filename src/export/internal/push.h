// An image goes to a registry: blobs in parallel, then manifests, the root last (EX-011, EX-029). Layers may go
// ahead, while later ones are still compressed: nothing names them yet.
//
//   ImagePush push(ports, {.name = "registry.example/app:1"});
//   push.send_ahead(layer, context);                       // as each is made, from several threads
//   KILN_RETURN_IF_ERROR(push.finish(root, blobs, context));
#pragma once

#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/reference.h"
#include "content/descriptor.h"
#include "export/exporter.h"
#include "export/internal/result_blobs.h"
#include "registry/client.h"

namespace kiln::exporter::internal {

struct PushOptions {
  std::string name;
  bool by_digest = false;  // untagged; the name must be a bare one
  bool insecure = false;
};

// One image to one reference. What `ports` point to outlives it.
class ImagePush {
 public:
  ImagePush(const ExportPorts& ports, PushOptions options) : ports_(ports), options_(std::move(options)) {}

  const std::string& name() const { return options_.name; }

  // Only layers that lie here and nowhere else; finish() tells what failed, after which no more go ahead.
  // Blocks until it is sent; cancelled by context.stop. Any thread, before finish().
  void send_ahead(const store::LayerBlob& layer, ExportContext& context);

  // The rest. Blocking, cancellable; once. Foreign layers are not sent. What the registry has, or can mount
  // from another of its repositories, is not sent either.
  Status finish(const content::Descriptor& root, ResultBlobs& blobs, ExportContext& context);

 private:
  struct Contents;
  Result<Reference> target() const;
  registry::Access access(ExportContext& context) const;
  // What a push of a moment ago left at the reference; asked once.
  const registry::Standing& standing(const Reference& ref, const registry::Access& access);
  Status send(const Contents& contents, const content::Descriptor& root, const Reference& ref,
              const registry::Access& access, ResultBlobs& blobs, ExportContext& context);
  Status send_blobs(const Contents& contents, const Reference& ref, const registry::Access& access, ResultBlobs& blobs,
                    ExportContext& context);
  Status send_manifests(const Contents& contents, const content::Descriptor& root, const Reference& ref,
                        const registry::Access& access, ExportContext& context);

  bool ahead_failed();

  const ExportPorts ports_;
  const PushOptions options_;
  const Time begun_ = system_clock().now();
  registry::PushSeries series_;

  std::mutex mutex_;
  std::optional<registry::Standing> standing_;
  std::set<Digest> sent_;  // ahead
  Status ahead_;           // the first failure there
};

}  // namespace kiln::exporter::internal
