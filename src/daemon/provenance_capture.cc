#include <algorithm>

#include "base/git_url.h"
#include "base/reference.h"
#include "base/text.h"
#include "daemon/provenance.h"
#include "graph/attributes.h"

namespace kiln::daemon {
namespace {

std::string attr(const graph::SourceOp& source, const char* name) {
  auto it = source.attrs.find(name);
  return it == source.attrs.end() ? std::string() : it->second;
}

// "scheme://rest".
std::pair<std::string, std::string> split_identifier(const std::string& identifier) {
  const std::size_t at = identifier.find("://");
  if (at == std::string::npos) return {"", identifier};
  return {identifier.substr(0, at), identifier.substr(at + 3)};
}

void add_image(std::vector<ImageMaterial>& images, ImageMaterial image) {
  const auto same = [&](const ImageMaterial& other) {
    return other.ref == image.ref && other.local == image.local && other.platform == image.platform;
  };
  if (std::none_of(images.begin(), images.end(), same)) images.push_back(std::move(image));
}

void add_secret(std::map<std::string, bool>& to, const std::string& id, bool optional) {
  auto [it, added] = to.emplace(id, optional);
  if (!added && !optional) it->second = false;
}

std::string without_credentials(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const std::size_t end = url.find_first_of("/?#", scheme + 3);
  const std::size_t at = url.rfind('@', end);
  if (at == std::string::npos || at < scheme + 3) return url;
  std::string user = url.substr(scheme + 3, at - scheme - 3);
  user = user.find(':') == std::string::npos ? "xxxxx" : "xxxxx:xxxxx";
  return url.substr(0, scheme + 3) + user + url.substr(at);
}

void add_git(const graph::SourceOp& source, const std::string& rest, const std::string& pin, Capture& out) {
  std::string remote = attr(source, graph::kAttrGitFullUrl);
  const auto [path, fragment] = split_once(rest, '#');
  if (remote.empty()) remote = "https://" + std::string(path);
  std::string ref(split_once(fragment, ':').first);
  std::string url = without_credentials(remote);
  if (!ref.empty()) url += "#" + ref;
  const auto same = [&](const GitMaterial& other) { return other.url == url; };
  if (std::none_of(out.git.begin(), out.git.end(), same)) out.git.push_back({url, pin});
  for (const char* name : {graph::kAttrGitAuthTokenSecret, graph::kAttrGitAuthHeaderSecret}) {
    if (const std::string id = attr(source, name); !id.empty()) add_secret(out.secrets, id, true);
  }
  if (const std::string id = attr(source, graph::kAttrGitMountSshSock); !id.empty()) add_secret(out.ssh, id, true);
}

void add_source(const graph::Vertex& vertex, const graph::SourceOp& source, const source::Pins& pins, Capture& out) {
  const auto [scheme, rest] = split_identifier(source.identifier);
  const std::optional<std::string> pin = pins.find(vertex.digest);
  if (scheme == "docker-image" || scheme == "oci-layout") {
    std::string digest = pin.value_or("");
    if (auto ref = Reference::parse(rest); digest.empty() && ref.ok()) digest = ref->digest.str();
    add_image(out.images, {rest, vertex.op.platform, digest, scheme == "oci-layout"});
  } else if (scheme == "docker-image+blob" || scheme == "oci-layout+blob") {
    add_image(out.blobs, {rest, std::nullopt, pin.value_or(""), scheme == "oci-layout+blob"});
  } else if (scheme == "git") {
    add_git(source, rest, pin.value_or(""), out);
  } else if (scheme == "http" || scheme == "https") {
    out.http.emplace(without_credentials(source.identifier), pin.value_or(attr(source, graph::kAttrHttpChecksum)));
    if (const std::string id = attr(source, graph::kAttrHttpAuthHeaderSecret); !id.empty()) add_secret(out.secrets, id, true);
  } else if (scheme == "local") {
    out.locals.insert(rest);
  }
}

void add_graph(const graph::Graph& graph, const source::Pins& pins, Capture& out) {
  for (const auto& vertex : graph.vertices) {
    if (const auto* source = std::get_if<graph::SourceOp>(&vertex->op.kind)) {
      add_source(*vertex, *source, pins, out);
    } else if (const auto* exec = std::get_if<graph::ExecOp>(&vertex->op.kind)) {
      for (const graph::Mount& mount : exec->mounts) {
        if (mount.secret) add_secret(out.secrets, mount.secret->id, mount.secret->optional);
        if (mount.ssh) add_secret(out.ssh, mount.ssh->id.empty() ? "default" : mount.ssh->id, mount.ssh->optional);
      }
      for (const graph::SecretEnv& secret : exec->secret_env) add_secret(out.secrets, secret.id, secret.optional);
      if (exec->network != graph::NetMode::kNone) out.network = true;
    } else if (std::holds_alternative<graph::BuildOp>(vertex->op.kind)) {
      out.incomplete = true;
    }
  }
}

// An image named by digest is left out where the same image is named by its tag.
void drop_images_named_twice(std::vector<ImageMaterial>& images) {
  const auto tag_of = [](const Reference& ref) { return ref.name() + ":" + (ref.tag.empty() ? "latest" : ref.tag); };
  std::set<std::string> tagged;
  for (const ImageMaterial& image : images) {
    auto ref = Reference::parse(image.ref);
    if (ref.ok() && ref->digest.empty()) tagged.insert(tag_of(*ref));
  }
  std::erase_if(images, [&](const ImageMaterial& image) {
    auto ref = Reference::parse(image.ref);
    return ref.ok() && !ref->digest.empty() && tagged.contains(tag_of(*ref));
  });
}

}  // namespace

void ProvenanceLog::add_graph(std::shared_ptr<const graph::Graph> graph) {
  std::lock_guard lock(mutex_);
  if (std::find(graphs_.begin(), graphs_.end(), graph) == graphs_.end()) graphs_.push_back(std::move(graph));
}

void ProvenanceLog::add_image(ImageMaterial image) {
  std::lock_guard lock(mutex_);
  daemon::add_image(images_, std::move(image));
}

Capture ProvenanceLog::capture(const std::shared_ptr<const graph::Graph>& result, std::shared_ptr<const RequestOrigin> origin,
                               const std::set<const graph::Graph*>& others, const source::Pins& pins,
                               const std::optional<Platform>& platform) const {
  Capture out;
  out.origin = std::move(origin);
  daemon::add_graph(*result, pins, out);
  std::lock_guard lock(mutex_);
  for (const auto& graph : graphs_) {
    if (graph != result && !others.contains(graph.get())) daemon::add_graph(*graph, pins, out);
  }
  for (const ImageMaterial& image : images_) {
    // Of an image that was looked up for several platforms, that of this result counts.
    const auto same_image = [&](const ImageMaterial& other) { return other.ref == image.ref && other.platform != image.platform; };
    const bool many = std::any_of(images_.begin(), images_.end(), same_image);
    const bool foreign = platform && image.platform &&
                         (platform->os != image.platform->os || platform->architecture != image.platform->architecture);
    if (!(many && foreign)) daemon::add_image(out.images, image);
  }
  drop_images_named_twice(out.images);
  const auto by_ref = [](const ImageMaterial& a, const ImageMaterial& b) { return a.ref < b.ref; };
  std::sort(out.images.begin(), out.images.end(), by_ref);
  std::sort(out.blobs.begin(), out.blobs.end(), by_ref);
  std::sort(out.git.begin(), out.git.end(), [](const GitMaterial& a, const GitMaterial& b) { return a.url < b.url; });
  return out;
}

}  // namespace kiln::daemon
