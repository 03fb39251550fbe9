// Where a cache goes to and comes from: the port Target, and the two kinds with manifests.
#pragma once

#include <memory>

#include "base/reference.h"
#include "content/blob_provider.h"
#include "content/descriptor.h"
#include "remotecache/remote_cache.h"

namespace kiln::remotecache {

// A place that keeps blobs and names one manifest. Blocking, cancellable by context.stop.
class Target {
 public:
  virtual ~Target() = default;
  // Whether the manifest stands there already, and with it all that it names.
  virtual bool stands(const content::Descriptor& manifest) = 0;
  // Any thread.
  virtual Status put_blob(const content::Descriptor& blob, std::shared_ptr<content::BlobProvider> from,
                          Context& context) = 0;
  virtual Status put_bytes(const content::Descriptor& blob, std::string_view bytes, Context& context) = 0;
  virtual Status put_manifest(const content::Descriptor& manifest, std::string_view bytes, Context& context) = 0;
};

// Whether a blob can be had, without having it.
using BlobCheck = std::function<Result<bool>(const content::Descriptor& blob, std::stop_token stop)>;

// A place to import from: the manifest's bytes, and a provider for everything it names.
struct Origin {
  std::string manifest;
  std::shared_ptr<content::BlobProvider> provider;
  BlobCheck has;
};

// type=registry: attributes ref, registry.insecure.
Result<std::unique_ptr<Target>> make_registry_target(const Attrs& attrs, const Ports& ports, const Context& context);
Result<Origin> open_registry_origin(const Attrs& attrs, const Ports& ports, const ImportContext& context);
// type=local: attributes dest / src, digest.
Result<std::unique_ptr<Target>> make_local_target(const Attrs& attrs, const Ports& ports, const Context& context);
Result<Origin> open_local_origin(const Attrs& attrs, const Ports& ports, const ImportContext& context);

// "true", "1", "false", …; `fallback` when absent. InvalidArgument names the attribute.
Result<bool> bool_attribute(const Attrs& attrs, const std::string& name, bool fallback);
std::string attribute(const Attrs& attrs, const std::string& name);
// The attribute ref, with its default tag. InvalidArgument when it is missing or no reference.
Result<Reference> reference_attribute(const Attrs& attrs);

}  // namespace kiln::remotecache
