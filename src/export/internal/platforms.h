// Which platforms a result has and which tree and metadata belong to each.
#pragma once

#include <string>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "export/exporter.h"

namespace kiln::exporter::internal {

struct ResultPlatform {
  std::string id;  // key of BuildResult::trees and suffix of metadata keys
  Platform platform;
};

// From "refs.platforms" (JSON {"Platforms":[{"ID":…,"Platform":{…}}]}), else from the image config,
// else this machine's. Never empty.
Result<std::vector<ResultPlatform>> platforms_of(const BuildResult& result);
// "<key>/<id>", else "<key>"; empty when neither is there.
std::string metadata_for(const BuildResult& result, const std::string& key, const std::string& id);
// The tree of a platform. NotFound-like FailedPrecondition when the result has none of that id; a
// null tree (scratch) is fine.
Result<store::TreeRef> tree_for(const BuildResult& result, const std::string& id);
// Refuses results that no exporter can read: several trees without their platforms and the like.
Status check_platforms(const BuildResult& result, const std::vector<ResultPlatform>& platforms);
const std::vector<Attestation>& attestations_for(const BuildResult& result, const std::string& id);

}  // namespace kiln::exporter::internal
