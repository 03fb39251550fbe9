// Which materials a graph has: its sources with their pins, its steps with their secrets.
#include <algorithm>

#include "base/reference.h"
#include "base/text.h"
#include "daemon/provenance_parts.h"
#include "graph/attributes.h"
#include "op/step_records.h"

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

void add_secret(std::map<std::string, bool>& to, const std::string& id, bool optional) {
  auto [it, added] = to.emplace(id, optional);
  if (!added && !optional) it->second = false;
}

void add_git(const graph::SourceOp& source, const std::string& rest, const std::string& pin, Capture& out) {
  std::string remote = attr(source, graph::kAttrGitFullUrl);
  const auto [path, fragment] = split_once(rest, '#');
  if (remote.empty()) remote = "https://" + std::string(path);
  std::string ref(split_once(fragment, ':').first);
  GitMaterial material{redacted_url(remote), pin, attr(source, graph::kAttrGitBundle)};
  if (!ref.empty()) material.url += "#" + ref;
  const auto same = [&](const GitMaterial& other) {
    return other.url == material.url && other.bundle == material.bundle;
  };
  if (std::none_of(out.git.begin(), out.git.end(), same)) out.git.push_back(std::move(material));
  for (const char* name : {graph::kAttrGitAuthTokenSecret, graph::kAttrGitAuthHeaderSecret}) {
    if (const std::string id = attr(source, name); !id.empty()) add_secret(out.secrets, id, true);
  }
  if (const std::string id = attr(source, graph::kAttrGitMountSshSock); !id.empty()) add_secret(out.ssh, id, true);
}

void add_blob(Capture& out, ImageMaterial blob) {
  const auto same = [&](const ImageMaterial& other) { return other.ref == blob.ref && other.local == blob.local; };
  if (std::none_of(out.blobs.begin(), out.blobs.end(), same)) out.blobs.push_back(std::move(blob));
}

// The digest that a reference itself carries.
std::string digest_in(const std::string& text) {
  auto ref = Reference::parse(text);
  return ref.ok() ? ref->digest.str() : "";
}

void add_source(const graph::Vertex& vertex, const graph::SourceOp& source, const source::Pins& pins, Capture& out) {
  const auto [scheme, rest] = split_identifier(source.identifier);
  std::string pin = pins.find(vertex.digest).value_or("");
  if (scheme == "local") {
    out.locals.insert(rest);
    return;
  }
  if (scheme == "docker-image" || scheme == "oci-layout") {
    if (pin.empty()) pin = digest_in(rest);
    out.add_image({rest, vertex.op.platform, pin, scheme == "oci-layout"});
  } else if (scheme == "docker-image+blob" || scheme == "oci-layout+blob") {
    if (pin.empty()) pin = digest_in(rest);
    add_blob(out, {rest, std::nullopt, pin, scheme == "oci-layout+blob"});
  } else if (scheme == "git") {
    if (pin.empty()) pin = attr(source, graph::kAttrGitChecksum);
    add_git(source, rest, pin, out);
  } else if (scheme == "http" || scheme == "https") {
    if (pin.empty()) pin = attr(source, graph::kAttrHttpChecksum);
    if (!pin.empty()) out.http.emplace(redacted_url(source.identifier), pin);
    if (const std::string id = attr(source, graph::kAttrHttpAuthHeaderSecret); !id.empty())
      add_secret(out.secrets, id, true);
  }
  out.incomplete |= pin.empty();
}

void add_fetched(const graph::Vertex& vertex, const graph::ExecOp& exec, const op::StepRecords& steps, Capture& out) {
  auto record = steps.find(vertex.digest);
  if (!record || !record->fetched) return;
  out.proxied = true;
  for (const auto& material : record->fetched->materials)
    out.http.emplace(redacted_url(material.url), material.digest.str());
  for (const auto& one : record->fetched->incomplete) {
    out.incomplete = true;
    out.unknown.push_back({vertex.op_digest.str(), join(exec.meta.args, " "), one.method, one.url, one.reason});
  }
}

// The steps that the result needs: a graph may carry more.
std::vector<const graph::Vertex*> vertices_below(const graph::Edge& result) {
  std::vector<const graph::Vertex*> out;
  std::set<const graph::Vertex*> seen;
  std::vector<const graph::Vertex*> stack;
  if (result) stack.push_back(result.vertex.get());
  while (!stack.empty()) {
    const graph::Vertex* vertex = stack.back();
    stack.pop_back();
    if (!seen.insert(vertex).second) continue;
    out.push_back(vertex);
    for (const auto& input : vertex->inputs) {
      if (input) stack.push_back(input.vertex.get());
    }
  }
  return out;
}

}  // namespace

void add_materials(const graph::Graph& graph, const source::Pins& pins, const op::StepRecords* steps, Capture& out) {
  for (const auto& vertex : vertices_below(graph.result)) {
    if (const auto* source = std::get_if<graph::SourceOp>(&vertex->op.kind)) {
      add_source(*vertex, *source, pins, out);
    } else if (const auto* exec = std::get_if<graph::ExecOp>(&vertex->op.kind)) {
      for (const graph::Mount& mount : exec->mounts) {
        if (mount.secret) add_secret(out.secrets, mount.secret->id, mount.secret->optional);
        if (mount.ssh) add_secret(out.ssh, mount.ssh->id.empty() ? "default" : mount.ssh->id, mount.ssh->optional);
      }
      for (const graph::SecretEnv& secret : exec->secret_env) add_secret(out.secrets, secret.id, secret.optional);
      if (exec->network != graph::NetMode::kNone) out.network = true;
      if (steps != nullptr) add_fetched(*vertex, *exec, *steps, out);
    } else if (std::holds_alternative<graph::BuildOp>(vertex->op.kind)) {
      out.incomplete = true;
    }
  }
}

bool RequestDescription::operator==(const RequestDescription& other) const {
  return frontend == other.frontend && args == other.args &&
         std::equal(inputs.begin(), inputs.end(), other.inputs.begin(), other.inputs.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && *a.second == *b.second; });
}

void Capture::add_image(ImageMaterial image) {
  const auto same = [&](const ImageMaterial& other) {
    if (other.ref != image.ref || other.local != image.local) return false;
    if (!other.platform || !image.platform) return other.platform == image.platform;
    return other.platform->os == image.platform->os && other.platform->architecture == image.platform->architecture &&
           other.platform->variant == image.platform->variant;
  };
  if (std::none_of(images.begin(), images.end(), same)) images.push_back(std::move(image));
}

void Capture::settle() {
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
  const auto by_ref = [](const ImageMaterial& a, const ImageMaterial& b) { return a.ref < b.ref; };
  std::stable_sort(images.begin(), images.end(), by_ref);
  std::stable_sort(blobs.begin(), blobs.end(), by_ref);
  std::stable_sort(git.begin(), git.end(), [](const GitMaterial& a, const GitMaterial& b) { return a.url < b.url; });
}

}  // namespace kiln::daemon
