// From the daemon's records to a configuration: everything that leads to the results, and the layers
// of what is to be found again.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "remotecache/cache_config.h"
#include "remotecache/remote_cache.h"

namespace kiln::remotecache {

struct CollectOptions {
  Mode mode = Mode::kMin;
  store::LayerOptions layers;
  std::function<void(const store::LayerBlob&)> found;  // hears of each blob once, while others are looked for
  std::set<std::string> lost;  // trees whose bytes nobody can give: what stands on them has no result
};

struct Collected {
  CacheConfig config;                        // sorted
  std::map<Digest, store::LayerBlob> blobs;  // by digest of blob
};

// Mode max makes the layer blobs of every recorded step; min makes those of the results only, and
// takes along the records whose blobs exist anyway. Blocking, cancellable.
Result<Collected> collect(const std::vector<Exported>& results, const CollectOptions& options, const Ports& ports,
                          Context& context);

// Calls `attempt` with what is known to be lost, again whenever it finds another layer lost (kLostTreeDetail):
// a cache that promised it must not fail the build.
Result<Attrs> without_lost(const std::function<Result<Attrs>(const std::set<std::string>& lost)>& attempt);

}  // namespace kiln::remotecache
