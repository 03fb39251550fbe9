// The port ObjectStore: where caches go that have no manifests, only blobs by digest and configurations
// by name. S3, Azure blobs and the cache of GitHub Actions are such places.
//
//   KILN_ASSIGN_OR_RETURN(auto store, make_s3_store(attrs, services));
//   KILN_ASSIGN_OR_RETURN(bool there, store->keep(layer, stop));
//   if (!there) KILN_RETURN_IF_ERROR(store->put(layer, provider, stop));
//   KILN_RETURN_IF_ERROR(store->put_config(json, stop));
//
// The configuration tells of each layer what a manifest would (media type, size, diff id): see
// docs/formats/cache.md.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "content/blob_provider.h"
#include "remotecache/remote_cache.h"

namespace kiln::registry {
class Transport;
}

namespace kiln::remotecache {

// Any thread. All calls block and give Cancelled soon after a stop. Errors are the peer's or the
// environment's; whoever imports turns them into misses.
class ObjectStore : public content::BlobProvider {
 public:
  // Whether the blob is there.
  virtual Result<bool> has(const content::Descriptor& blob, std::stop_token stop) = 0;
  // The same before an export; what is there grows young again where the place forgets what is old.
  virtual Result<bool> keep(const content::Descriptor& blob, std::stop_token stop) { return has(blob, stop); }
  virtual Status put(const content::Descriptor& blob, content::BlobProvider& from, std::stop_token stop) = 0;
  // Under every name that the options give.
  virtual Status put_config(std::string_view json, std::stop_token stop) = 0;
  // The configurations to import, in the order of their names; a name without one is left out.
  virtual Result<std::vector<std::string>> configs(std::stop_token stop) = 0;
  // How many blobs may be sent at once.
  virtual std::size_t uploads_max() const = 0;
};

// What stores are made of.
struct StoreServices {
  registry::Transport* http = nullptr;  // outlives the store
  Clock* clock = nullptr;
  // The daemon's environment, where attributes say nothing.
  std::function<std::optional<std::string>(const std::string& name)> environment;
};
StoreServices store_services(const Ports& ports);

// Attributes are read at once (InvalidArgument names what is wrong); nothing is sent before it is
// needed.
Result<std::shared_ptr<ObjectStore>> make_s3_store(const Attrs& attrs, StoreServices services);
Result<std::shared_ptr<ObjectStore>> make_azblob_store(const Attrs& attrs, StoreServices services);
Result<std::shared_ptr<ObjectStore>> make_gha_store(const Attrs& attrs, StoreServices services);

}  // namespace kiln::remotecache
