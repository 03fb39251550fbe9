// From the daemon's records to a configuration: everything that leads to the results, and the layers
// of what is to be found again.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "remotecache/cache_config.h"
#include "remotecache/remote_cache.h"

namespace kiln::remotecache {

struct CollectOptions {
  Mode mode = Mode::kMin;
  store::LayerOptions layers;
  std::function<void(const store::LayerBlob&)> found;  // hears of each blob once, while others are looked for
};

struct Collected {
  CacheConfig config;                        // sorted
  std::map<Digest, store::LayerBlob> blobs;  // by digest of blob
};

// Mode max makes the layer blobs of every recorded step; min makes those of the results only, and
// takes along the records whose blobs exist anyway. Blocking, cancellable.
Result<Collected> collect(const std::vector<Exported>& results, const CollectOptions& options, const Ports& ports,
                          Context& context);

}  // namespace kiln::remotecache
