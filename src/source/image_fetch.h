// One image used by one step: attributes, keys and the tree of lazy layers. Private to the room.
#pragma once

#include "source/image.h"

namespace kiln::source {

class ImageFetch final : public Fetch {
 public:
  struct Wish {
    ImagePlace place;
    Platform platform;
    std::optional<int> layer_limit;
    Digest checksum;
    store::RecordType type = store::RecordType::kRegular;
  };
  ImageFetch(std::shared_ptr<ImageSource> source, Wish wish) : source_(std::move(source)), wish_(std::move(wish)) {}
  Result<Key> key(int index, const Asker& asker) override;
  Result<store::TreeRef> tree(const Asker& asker) override;

 private:
  Status resolve(const Asker& asker);
  Status hold_documents(const store::TreeRef& tree, const Asker& asker);

  std::shared_ptr<ImageSource> source_;
  Wish wish_;
  std::optional<Status> resolved_;
  ImageDocuments image_;
  std::string manifest_key_;
  std::string config_key_;
};

}  // namespace kiln::source
