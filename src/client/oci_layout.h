// Directories in the OCI image layout, as the client offers and receives them: their blobs as a
// store, their index read and added to.
//
//   KILN_ASSIGN_OR_RETURN(auto blobs, open_layout("cache"));
//   KILN_RETURN_IF_ERROR(add_to_index("cache", descriptor, {{"latest", NameKind::kTag}}));
//
// Format: OCI image-spec, image-layout.md. Writers exclude each other by a lock on index.json.lock.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "content/blob_store.h"

namespace kiln::client {

// Makes the directory when asked to. NotFound when it is not there.
enum class Make { kNo, kYes };
Result<std::shared_ptr<content::BlobStore>> open_layout(const std::string& dir, Make make);

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
