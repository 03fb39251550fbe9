// Materials as package URLs (https://github.com/package-url/purl-spec) and plain URLs with digests.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/reference.h"
#include "base/text.h"
#include "daemon/provenance_parts.h"

namespace kiln::daemon {
namespace {

using Json = nlohmann::json;

// Percent-encoding of package URLs: unreserved characters stay.
std::string percent(std::string_view text, std::string_view also_kept) {
  std::string out;
  for (unsigned char c : text) {
    const bool kept = std::isalnum(c) ||
                      std::string_view("-._~").find(static_cast<char>(c)) != std::string_view::npos ||
                      also_kept.find(static_cast<char>(c)) != std::string_view::npos;
    if (kept)
      out += static_cast<char>(c);
    else
      out += fmt::format("%{:02X}", c);
  }
  return out;
}

using Qualifiers = std::map<std::string, std::string>;  // sorted, as package URLs are

std::string package_url(bool local, const std::string& text, Qualifiers qualifiers) {
  auto parsed = Reference::parse(text);
  if (!parsed.ok()) return text;
  Reference ref = *parsed;
  if (ref.digest.empty()) ref = ref.with_default_tag();
  if (!ref.digest.empty()) qualifiers["digest"] = ref.digest.str();
  std::string out = fmt::format("pkg:{}/{}", local ? "oci" : "docker", percent(ref.familiar_name(), "/"));
  if (!ref.tag.empty()) out += "@" + percent(ref.tag, ":");
  char separator = '?';
  for (const auto& [key, value] : qualifiers) {
    out += separator + key + "=" + percent(value, ":");
    separator = '&';
  }
  return out;
}

Json material(std::string uri, Json digest) {
  Json out = {{"uri", std::move(uri)}};
  if (!digest.is_null()) out["digest"] = std::move(digest);
  return out;
}

Json digests_or_null(const std::string& digest) { return digest.empty() ? Json() : digest_set(digest); }

// The bundle that a repository came in: a blob of a registry or of a layout.
void add_bundle(const GitMaterial& git, Json& out) {
  const std::size_t scheme = git.bundle.find("://");
  const std::size_t at = git.bundle.rfind('@');
  if (scheme == std::string::npos || at == std::string::npos || at < scheme) return;
  const bool local = git.bundle.starts_with("oci-layout");
  const std::string ref = git.bundle.substr(scheme + 3, at - scheme - 3);
  out.push_back(material(package_url(local, ref, {{"ref_type", "bundle"}, {"vcs_url", git.url}}),
                         digest_set(git.bundle.substr(at + 1))));
}

}  // namespace

std::string redacted_url(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const std::size_t end = url.find_first_of("/?#", scheme + 3);
  const std::size_t at = url.rfind('@', end);
  if (at == std::string::npos || at < scheme + 3) return url;
  std::string user = url.substr(scheme + 3, at - scheme - 3);
  const std::size_t colon = user.find(':');
  if (colon != std::string::npos) {
    user = colon == 0 ? ":xxxxx" : "xxxxx:xxxxx";
  } else if (!user.empty()) {
    user = "xxxxx";
  }
  return url.substr(0, scheme + 3) + user + url.substr(at);
}

Json digest_set(const std::string& digest) {
  const auto [algorithm, hex] = split_once(digest, ':');
  return {{std::string(algorithm), std::string(hex)}};
}

Json commit_set(const std::string& commit) { return {{commit.size() == 64 ? "sha256" : "sha1", commit}}; }

Json materials_json(const Capture& capture) {
  Json out = Json::array();
  for (const ImageMaterial& image : capture.images) {
    Qualifiers qualifiers;
    if (image.platform) qualifiers["platform"] = image.platform->normalized().str();
    out.push_back(material(package_url(image.local, image.ref, std::move(qualifiers)), digests_or_null(image.digest)));
  }
  for (const ImageMaterial& blob : capture.blobs) {
    out.push_back(material(package_url(blob.local, blob.ref, {{"ref_type", "blob"}}), digests_or_null(blob.digest)));
  }
  for (const GitMaterial& git : capture.git) {
    out.push_back(material(git.url, git.commit.empty() ? Json() : commit_set(git.commit)));
    add_bundle(git, out);
  }
  for (const auto& [url, digest] : capture.http) out.push_back(material(url, digest_set(digest)));
  return out;
}

}  // namespace kiln::daemon
