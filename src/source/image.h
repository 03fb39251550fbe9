// Images as sources: docker-image:// from a registry and oci-layout:// from a directory of the
// client. Resolving fetches manifests and configuration only; the tree is made of lazy layers whose
// bytes come when somebody needs them.
//
//   auto images = std::make_shared<ImageSource>(ImageSourceOptions{.trees = &trees, …});
//   sources.add(images);
//
// Formats: OCI image-spec 1.1; Docker manifest v2 schema 2. Keys: key(0) names root digest, platform
// and layer limit; key(1) the chain of uncompressed layers, so that a retagged or recompressed image
// still hits.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/reference.h"
#include "content/blob_store.h"
#include "content/descriptor.h"
#include "registry/client.h"
#include "source/flight.h"
#include "source/meta.h"
#include "source/source.h"
#include "store/trees.h"

namespace kiln::source {

struct ImageSourceOptions {
  store::Trees* trees = nullptr;  // all outlive the source
  content::BlobStore* blobs = nullptr;
  registry::Registry* registry = nullptr;
  session::Sessions* sessions = nullptr;
  Clock* clock = nullptr;  // null: the system's
};

// Where an image is looked for.
struct ImagePlace {
  enum class Kind { kRegistry, kLayout } kind = Kind::kRegistry;
  Reference ref;
  std::string session_id;  // of a layout
  std::string store_id;
};

// An image as its documents describe it; nothing of its layers is here. A value.
struct ImageDocuments {
  content::Descriptor root;      // what the reference names
  content::Descriptor manifest;  // of the platform; the same as root for a single image
  content::Descriptor config;
  std::string config_bytes;
  std::vector<content::Descriptor> layers;     // with their uncompressed digests as annotation
  std::vector<content::Descriptor> documents;  // all of the JSON blobs, to be held with the tree
};

// Any thread.
class ImageSource final : public Source, public std::enable_shared_from_this<ImageSource> {
 public:
  explicit ImageSource(ImageSourceOptions options);
  std::vector<std::string> schemes() const override { return {"docker-image", "oci-layout"}; }
  Result<std::unique_ptr<Fetch>> open(const graph::SourceOp& op, const std::optional<Platform>& platform) override;

  // Finds the image and its documents, all of them in the blob store afterwards, held for some
  // minutes. Blocking, cancellable. NotFound when there is no such image or none for the platform.
  Result<ImageDocuments> resolve(const ImagePlace& place, const Platform& platform, const Asker& asker);
  // For frontends. Blocking, cancellable.
  Result<ImageMeta> meta(const ImagePlace& place, const std::optional<Platform>& platform, const MetaOptions& options,
                         const Asker& asker);
  Result<ImagePlace> place_of(const graph::SourceOp& op) const;

  // Where the blobs of that place come from, now and later.
  std::shared_ptr<content::BlobProvider> provider(const ImagePlace& place, const Asker& asker);
  // Lets go of the documents that are only held because somebody looked at them lately; asked for
  // before a prune.
  void release_looked_at();

  const ImageSourceOptions& options() const { return options_; }

 private:
  Result<content::Descriptor> find_root(const ImagePlace& place, const Asker& asker);
  Result<std::string> document(const ImagePlace& place, const content::Descriptor& descriptor, const Asker& asker);
  Result<AttestationChain> attestations(const ImagePlace& place, const ImageDocuments& image,
                                        const std::vector<std::string>& predicates, const Asker& asker);
  void hold_for_a_while(const Digest& digest);
  void empty_shelf(int shelf);

  ImageSourceOptions options_;
  Flight<ImageDocuments> resolving_;
  std::mutex mutex_;
  std::set<Digest> held_[2];  // documents held for a while
  int newer_ = 0;
  Time turned_{};
  std::map<std::string, std::shared_ptr<content::BlobProvider>> providers_;  // by repository
};

// The label that says from which repository a blob came: "containerd.io/distribution.source.<domain>".
std::string source_label(const Reference& ref);

}  // namespace kiln::source
