#include "client/dockerfile/image_lookup.h"

#include <fmt/format.h>

#include "base/reference.h"
#include "client/offers.h"
#include "registry/client.h"

namespace kiln::client {
namespace {

// This user's own logins; tokens are fetched with them as they are.
class UserCredentials final : public registry::Credentials {
 public:
  explicit UserCredentials(std::shared_ptr<session::LoginSource> logins) : logins_(std::move(logins)) {}
  Result<std::string> identity(const std::string&, std::stop_token) override { return std::string("user"); }
  Result<registry::Login> login(const std::string& host, std::stop_token) override { return logins_->login(host); }
  Result<std::optional<registry::Token>> fetch_token(const registry::TokenRequest&, std::stop_token) override {
    return std::optional<registry::Token>();
  }

 private:
  std::shared_ptr<session::LoginSource> logins_;
};

}  // namespace

struct ImageLookup::State {
  std::unique_ptr<registry::Transport> http = registry::make_curl_transport({.user_agent = "kiln"});
  registry::Registry registry{*http, registry::Options{}};
  std::shared_ptr<registry::Credentials> credentials;
};

ImageLookup::ImageLookup(const EnvironmentLookup& environment) : state_(std::make_unique<State>()) {
  state_->credentials = std::make_shared<UserCredentials>(make_logins(environment, {}));
}

ImageLookup::~ImageLookup() = default;

Result<frontend::ImageConfig> ImageLookup::config(const std::string& ref, const Platform& platform,
                                                  std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Reference reference, Reference::parse(ref));
  const registry::Access access{state_->credentials, false, stop};
  KILN_ASSIGN_OR_RETURN(registry::Resolved found, state_->registry.resolve(reference.with_default_tag(), access));
  content::Descriptor manifest = found.descriptor;
  KILN_ASSIGN_OR_RETURN(std::string bytes, state_->registry.fetch_manifest(found.ref, manifest, access));
  if (content::is_index_type(manifest.media_type)) {
    KILN_ASSIGN_OR_RETURN(content::Index index, content::parse_index(bytes));
    std::vector<Platform> have;
    for (const content::Descriptor& one : index.manifests) have.push_back(one.platform.value_or(Platform{}));
    const int best = best_platform(have, platform);
    if (best < 0) return user_error(Code::kNotFound, fmt::format("image '{}' has no platform {}", ref, platform.str()));
    manifest = index.manifests[static_cast<std::size_t>(best)];
    KILN_ASSIGN_OR_RETURN(bytes,
                          state_->registry.fetch_manifest(found.ref.with_digest(manifest.digest), manifest, access));
  }
  KILN_ASSIGN_OR_RETURN(content::Manifest image, content::parse_manifest(bytes));
  auto blobs = state_->registry.provider(found.ref, access);
  KILN_ASSIGN_OR_RETURN(std::string config, content::read_blob(*blobs, image.config, stop));
  return frontend::ImageConfig{ref, found.descriptor.digest, std::move(config)};
}

}  // namespace kiln::client
