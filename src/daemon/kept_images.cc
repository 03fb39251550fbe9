#include "daemon/kept_images.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace kiln::daemon {
namespace {

constexpr int kDepthMax = 8;  // indexes within indexes
constexpr std::size_t kBlobsMax = 1024;
constexpr std::size_t kBytesMax = 32 << 20;  // of one blob

class Keeper {
 public:
  Keeper(content::BlobStore& from, history::History& history) : from_(from), history_(history) {}

  void keep(const content::Descriptor& blob, int depth) {
    const std::string digest = blob.digest.str();
    if (depth > kDepthMax || kept_.size() >= kBlobsMax || std::find(kept_.begin(), kept_.end(), digest) != kept_.end())
      return;
    if (Status status = copy(blob, depth); !status.ok())
      log_debug("keep {} with a build's record: {}", digest, message_of(status));
  }
  std::vector<std::string> kept() && { return std::move(kept_); }

 private:
  Status copy(const content::Descriptor& blob, int depth) {
    KILN_ASSIGN_OR_RETURN(auto there, from_.info(blob.digest));
    if (!there) return ok();  // a platform of somebody else's index
    KILN_ASSIGN_OR_RETURN(std::string bytes, content::read_blob(from_, blob.digest, kBytesMax));
    StringSource source(bytes);
    KILN_RETURN_IF_ERROR(history_.write_blob(blob.media_type, source).status());
    kept_.push_back(blob.digest.str());
    if (content::is_index_type(blob.media_type)) {
      KILN_ASSIGN_OR_RETURN(content::Index index, content::parse_index(bytes));
      for (const content::Descriptor& manifest : index.manifests) keep(manifest, depth + 1);
    } else if (content::is_manifest_type(blob.media_type)) {
      KILN_ASSIGN_OR_RETURN(content::Manifest manifest, content::parse_manifest(bytes));
      keep(manifest.config, depth + 1);
      for (const content::Descriptor& layer : manifest.layers) {
        if (layer.media_type == content::kInTotoStatement) keep(layer, depth + 1);
      }
    }
    return ok();
  }

  content::BlobStore& from_;
  history::History& history_;
  std::vector<std::string> kept_;
};

}  // namespace

std::vector<std::string> keep_image(content::BlobStore& from, history::History& history,
                                    const content::Descriptor& root) {
  Keeper keeper(from, history);
  keeper.keep(root, 0);
  return std::move(keeper).kept();
}

}  // namespace kiln::daemon
