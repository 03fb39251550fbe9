// What all cache exports may be told: how much, how strictly, in which compression.
#pragma once

#include "remotecache/remote_cache.h"

namespace kiln::remotecache {

// Whether the attributes may choose a compression: places with manifests let them.
enum class Compressions { kDefault, kChosen };

struct ExportOptions {
  Mode mode = Mode::kMin;
  bool ignore_error = false;
  store::LayerOptions layers;

  // Attributes mode, ignore-error and, where chosen, compression, compression-level, force-compression.
  // InvalidArgument names what is wrong.
  static Result<ExportOptions> read(const Attrs& attrs, Compressions compressions);
};

}  // namespace kiln::remotecache
