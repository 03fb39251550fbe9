// Directories in the OCI image layout, as the client offers and receives them: their blobs as a
// store, their index read and added to.
//
//   KILN_ASSIGN_OR_RETURN(auto blobs, open_layout("cache"));
//   KILN_RETURN_IF_ERROR(add_to_index("cache", descriptor, {{"latest", NameKind::kTag}}));
//
// Format: OCI image-spec, image-layout.md. Writers exclude each other by a lock on index.json.lock.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "content/blob_store.h"

namespace kiln::client {

// Makes the directory when asked to. NotFound when it is not there. `committed` hears of each blob that was
// written, from any thread; may be null.
enum class Make { kNo, kYes };
using Committed = std::function<void(const content::BlobInfo& blob)>;
Result<std::shared_ptr<content::BlobStore>> open_layout(const std::string& dir, Make make, Committed committed = {});
// The descriptor of a manifest or index among the blobs; nothing when the blob is missing or is neither.
Result<std::optional<content::Descriptor>> describe_manifest(const std::string& dir, const Digest& digest);

enum class NameKind { kName, kTag };
struct IndexName {
  std::string text;
  NameKind kind = NameKind::kTag;
};
// Puts the descriptor under each name in place of what had it before.
Status add_to_index(const std::string& dir, const content::Descriptor& descriptor, const std::vector<IndexName>& names);
// The entry of that tag or name; nothing when there is none or no index.
Result<std::optional<content::Descriptor>> find_in_index(const std::string& dir, std::string_view tag);
// Removes the blobs that no manifest of the index reaches.
Status drop_unreferenced(const std::string& dir);

}  // namespace kiln::client
