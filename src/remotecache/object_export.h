// Cache exports to places without manifests (object_store.h).
#pragma once

#include <memory>

#include "remotecache/object_store.h"

namespace kiln::remotecache {

// type=s3, azblob, gha; null for others. InvalidArgument for bad attributes.
Result<std::unique_ptr<CacheExport>> make_object_export(const Spec& spec, const Ports& ports);
// The store to import from; null for other types.
Result<std::shared_ptr<ObjectStore>> make_object_origin(const Spec& spec, const Ports& ports);

}  // namespace kiln::remotecache
