#include "source/blob.h"

#include "content/json_text.h"
#include "graph/attributes.h"
#include "source/single_file.h"

namespace kiln::source {
namespace {

class BlobFetch final : public Fetch {
 public:
  BlobFetch(std::shared_ptr<ImageSource> images, ImagePlace place, FileWish wish)
      : images_(std::move(images)), place_(std::move(place)), wish_(std::move(wish)) {}

  Result<Key> key(int, const Asker&) override {
    content::JsonWriter json;
    json.begin_object();
    json.key("Digest");
    json.string(place_.ref.digest.str());
    json.key("Filename");
    json.string(wish_.name);
    json.key("Perm");
    json.integer(wish_.perm);
    json.key("UID");
    json.integer(wish_.uid);
    json.key("GID");
    json.integer(wish_.gid);
    json.end_object();
    return Key{.text = Digest::of(json.take()).str(), .last = true, .pin = place_.ref.digest.str()};
  }

  Result<store::TreeRef> tree(const Asker& asker) override {
    content::Descriptor descriptor;
    descriptor.digest = place_.ref.digest;
    auto provider = images_->provider(place_, asker);
    KILN_ASSIGN_OR_RETURN(auto body, provider->open(descriptor, 0, asker.stop));
    FileWish file = wish_;
    if (file.name.empty()) file.name = std::string(descriptor.digest.hex());
    KILN_ASSIGN_OR_RETURN(SavedFile saved, save_file(*images_->options().trees, *body, file,
                                                     {.description = "blob " + place_.ref.str()}, asker.stop));
    if (descriptor.digest.algorithm() == "sha256" && saved.digest != descriptor.digest) {
      return peer_error(Code::kFailedPrecondition,
                        fmt::format("blob {} has digest {}", place_.ref.str(), saved.digest.str()));
    }
    return saved.tree;
  }

 private:
  std::shared_ptr<ImageSource> images_;
  ImagePlace place_;
  FileWish wish_;
};

}  // namespace

Result<std::unique_ptr<Fetch>> BlobSource::open(const graph::SourceOp& op, const std::optional<Platform>&) {
  KILN_ASSIGN_OR_RETURN(auto parts, split_identifier(op.identifier));
  ImagePlace place;
  bool layout = parts.first == "oci-layout+blob";
  place.kind = layout ? ImagePlace::Kind::kLayout : ImagePlace::Kind::kRegistry;
  KILN_ASSIGN_OR_RETURN(place.ref, Reference::parse(parts.second));
  if (place.ref.digest.empty()) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid image blob reference {}: a digest is needed", op.identifier));
  }
  FileWish wish;
  for (const auto& [name, value] : op.attrs) {
    if (name == graph::kAttrHttpFilename) {
      wish.name = safe_file_name(value);
    } else if (name == graph::kAttrHttpPerm) {
      KILN_ASSIGN_OR_RETURN(wish.perm, parse_number(value));
    } else if (name == graph::kAttrHttpUid) {
      KILN_ASSIGN_OR_RETURN(wish.uid, parse_number(value));
    } else if (name == graph::kAttrHttpGid) {
      KILN_ASSIGN_OR_RETURN(wish.gid, parse_number(value));
    } else if (layout && name == graph::kAttrOciLayoutSession) {
      place.session_id = value;
    } else if (layout && name == graph::kAttrOciLayoutStore) {
      place.store_id = value;
    }
  }
  if (layout && place.store_id.empty()) {
    return user_error(Code::kInvalidArgument, "oci-layout blob source requires store id");
  }
  return std::unique_ptr<Fetch>(std::make_unique<BlobFetch>(images_, std::move(place), std::move(wish)));
}

}  // namespace kiln::source
