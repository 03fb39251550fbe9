#include "source/image_fetch.h"

#include <charconv>

#include "base/json_text.h"
#include "base/text.h"
#include "content/image_config.h"
#include "content/json_text.h"
#include "graph/attributes.h"

namespace kiln::source {
namespace {

// Digest of {"Digest":…,"OS":…,"Arch":…} with further members when they are set: BuildKit's form.
std::string manifest_key(const Digest& root, const Platform& platform, const std::optional<int>& limit) {
  auto quoted = [](std::string_view text) { return json_string(text); };
  std::string json = fmt::format("{{\"Digest\":{},\"OS\":{},\"Arch\":{}", quoted(root.str()), quoted(platform.os),
                                 quoted(platform.architecture));
  if (!platform.variant.empty()) json += ",\"Variant\":" + quoted(platform.variant);
  if (!platform.os_version.empty()) json += ",\"OSVersion\":" + quoted(platform.os_version);
  if (!platform.os_features.empty()) {
    std::vector<std::string> features;
    for (const std::string& feature : platform.os_features) features.push_back(quoted(feature));
    json += ",\"OSFeatures\":[" + join(features, ",") + "]";
  }
  if (limit) json += fmt::format(",\"Limit\":{}", *limit);
  return Digest::of(json + "}").str();
}

// OCI chain id (config.md, section Layer ChainID) of the first layers; "" when there are none.
Result<std::string> config_key(const std::string& config_bytes, const std::optional<int>& limit) {
  Result<content::ImageConfig> config = content::parse_image_config(config_bytes);
  if (!config.ok()) {
    if (limit) return annotate(config.status(), "failed to parse image config");
    return Digest::of(config_bytes).str();
  }
  std::vector<Digest> ids = config->diff_ids;
  if (limit) ids.resize(static_cast<std::size_t>(*limit));
  if (config->rootfs_type != "layers" || ids.empty()) return std::string();
  Digest chain = ids.front();
  for (std::size_t i = 1; i < ids.size(); ++i) chain = Digest::of(chain.str() + " " + ids[i].str());
  return chain.str();
}

Result<int> parse_limit(const std::string& text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value <= 0) {
    return user_error(Code::kInvalidArgument, fmt::format("invalid layer limit {}", text));
  }
  return value;
}

Result<store::RecordType> parse_type(const std::string& text) {
  if (text.empty() || text == "regular") return store::RecordType::kRegular;
  if (text == "internal") return store::RecordType::kInternal;
  if (text == "frontend") return store::RecordType::kFrontend;
  return user_error(Code::kInvalidArgument, fmt::format("invalid record type {}", text));
}

Status check_mode(const std::string& mode) {
  if (mode.empty() || mode == "default" || mode == "pull" || mode == "local") return ok();
  return user_error(Code::kInvalidArgument, fmt::format("invalid resolvemode: {}", mode));
}

}  // namespace

Result<ImagePlace> ImageSource::place_of(const graph::SourceOp& op) const {
  KILN_ASSIGN_OR_RETURN(auto parts, split_identifier(op.identifier));
  ImagePlace place;
  place.kind = parts.first == "oci-layout" ? ImagePlace::Kind::kLayout : ImagePlace::Kind::kRegistry;
  KILN_ASSIGN_OR_RETURN(place.ref, Reference::parse(parts.second));
  place.ref = place.ref.with_default_tag();
  auto attr = [&](const char* name) {
    auto found = op.attrs.find(name);
    return found == op.attrs.end() ? std::string() : found->second;
  };
  place.session_id = attr(graph::kAttrOciLayoutSession);
  place.store_id = attr(graph::kAttrOciLayoutStore);
  return place;
}

Result<std::unique_ptr<Fetch>> ImageSource::open(const graph::SourceOp& op, const std::optional<Platform>& platform) {
  ImageFetch::Wish wish;
  KILN_ASSIGN_OR_RETURN(wish.place, place_of(op));
  wish.platform = platform ? *platform : Platform::host();
  bool layout = wish.place.kind == ImagePlace::Kind::kLayout;
  for (const auto& [name, value] : op.attrs) {
    if (name == (layout ? graph::kAttrOciLayoutLayerLimit : graph::kAttrImageLayerLimit)) {
      KILN_ASSIGN_OR_RETURN(wish.layer_limit, parse_limit(value));
    } else if (layout) {
      continue;
    } else if (name == graph::kAttrImageResolveMode) {
      KILN_RETURN_IF_ERROR(check_mode(value));
    } else if (name == graph::kAttrImageRecordType) {
      KILN_ASSIGN_OR_RETURN(wish.type, parse_type(value));
    } else if (name == graph::kAttrImageChecksum) {
      Result<Digest> digest = Digest::parse(value);
      if (!digest.ok()) return annotate(digest.status(), fmt::format("invalid image checksum {}", value));
      wish.checksum = *digest;
    }
  }
  return std::unique_ptr<Fetch>(std::make_unique<ImageFetch>(shared_from_this(), std::move(wish)));
}

Status ImageFetch::resolve(const Asker& asker) {
  std::string name = wish_.place.ref.str();
  event::Phase phase(asker.reporter, "resolve " + name);
  KILN_ASSIGN_OR_RETURN(image_, source_->resolve(wish_.place, wish_.platform, asker));
  if (!wish_.checksum.empty() && image_.root.digest != wish_.checksum) {
    return user_error(Code::kFailedPrecondition,
                      fmt::format("image digest {} for {} does not match expected checksum {}",
                                  image_.root.digest.str(), name, wish_.checksum.str()));
  }
  if (wish_.layer_limit) {
    auto limit = static_cast<std::size_t>(*wish_.layer_limit);
    if (limit > image_.layers.size()) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("layer limit {} is greater than the number of layers in the image {}", limit,
                                    image_.layers.size()));
    }
    image_.layers.resize(limit);
  }
  manifest_key_ = manifest_key(image_.root.digest, wish_.platform, wish_.layer_limit);
  KILN_ASSIGN_OR_RETURN(config_key_, config_key(image_.config_bytes, wish_.layer_limit));
  return ok();
}

Result<Key> ImageFetch::key(int index, const Asker& asker) {
  if (!resolved_) {
    Status status = resolve(asker);
    if (is_cancelled(status)) return status;
    resolved_ = status;
  }
  KILN_RETURN_IF_ERROR(*resolved_);
  bool first = index == 0 || config_key_.empty();
  return Key{.text = first ? manifest_key_ : config_key_, .last = index > 0, .pin = image_.root.digest.str()};
}

Result<store::TreeRef> ImageFetch::tree(const Asker& asker) {
  if (image_.layers.empty()) return store::TreeRef();
  std::string name = wish_.place.ref.str();
  std::shared_ptr<content::BlobProvider> provider = source_->provider(wish_.place, asker);
  store::TreeRef tree;
  for (std::size_t i = 0; i < image_.layers.size(); ++i) {
    const content::Descriptor& layer = image_.layers[i];
    bool top = i + 1 == image_.layers.size();
    store::LayerSource from{
        .blob = layer,
        .diff_id = Digest::trusted(layer.annotations.at(std::string(content::kUncompressedAnnotation))),
        .provider = provider,
        .reporter = asker.lasting_reporter};
    store::TreeOptions options{
        .description = "pulled from " + name, .type = top ? wish_.type : store::RecordType::kRegular, .created = {}};
    KILN_ASSIGN_OR_RETURN(tree, source_->options().trees->from_blob(tree, std::move(from), std::move(options)));
  }
  KILN_RETURN_IF_ERROR(hold_documents(tree, asker));
  return tree;
}

// Manifest and config live as long as the top layer. They may have been collected since the key was
// made; then they are fetched again.
Status ImageFetch::hold_documents(const store::TreeRef& tree, const Asker& asker) {
  store::Trees& trees = *source_->options().trees;
  for (const content::Descriptor& document : image_.documents) {
    KILN_RETURN_IF_ERROR(trees.hold_blob(tree, document.digest));
    KILN_ASSIGN_OR_RETURN(auto info, source_->options().blobs->info(document.digest));
    if (!info) KILN_RETURN_IF_ERROR(source_->resolve(wish_.place, wish_.platform, asker).status());
  }
  return ok();
}

}  // namespace kiln::source
