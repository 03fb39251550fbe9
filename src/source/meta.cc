#include "source/meta.h"

#include "source/git.h"
#include "source/http_source.h"
#include "source/image.h"

namespace kiln::source {

MetaResolver::MetaResolver(std::shared_ptr<ImageSource> image, std::shared_ptr<GitSource> git,
                           std::shared_ptr<HttpSource> http)
    : image_(std::move(image)), git_(std::move(git)), http_(std::move(http)) {}

Result<SourceMeta> MetaResolver::resolve(const graph::SourceOp& op, const std::optional<Platform>& platform,
                                         const MetaOptions& options, const Asker& asker) {
  KILN_ASSIGN_OR_RETURN(auto parts, split_identifier(op.identifier));
  SourceMeta out;
  if (parts.first == "docker-image" || parts.first == "oci-layout") {
    KILN_ASSIGN_OR_RETURN(ImagePlace place, image_->place_of(op));
    if (place.session_id.empty()) place.session_id = options.oci_session_id;
    if (place.store_id.empty()) place.store_id = options.oci_store_id;
    KILN_ASSIGN_OR_RETURN(out.image, image_->meta(place, platform, options, asker));
  } else if (parts.first == "git") {
    KILN_ASSIGN_OR_RETURN(out.git, git_->meta(op, options, asker));
  } else if (parts.first == "http" || parts.first == "https") {
    KILN_ASSIGN_OR_RETURN(out.http, http_->meta(op, options, asker));
  }
  return out;
}

Result<ImageMeta> MetaResolver::resolve_image(const std::string& ref, const std::optional<Platform>& platform,
                                              const MetaOptions& options, const Asker& asker) {
  ImagePlace place;
  KILN_ASSIGN_OR_RETURN(place.ref, Reference::parse(ref));
  place.ref = place.ref.with_default_tag();
  if (!options.oci_store_id.empty()) {
    place.kind = ImagePlace::Kind::kLayout;
    place.session_id = options.oci_session_id;
    place.store_id = options.oci_store_id;
  }
  return image_->meta(place, platform, options, asker);
}

}  // namespace kiln::source
