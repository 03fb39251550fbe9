#include "export/internal/layout_tar.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <map>
#include <optional>
#include <set>

#include "base/reference.h"
#include "content/json_text.h"
#include "host/file_bytes.h"
#include "layer/tar_writer.h"

namespace kiln::exporter::internal {
namespace {

using content::Descriptor;

constexpr std::string_view kLayoutFile = R"({"imageLayoutVersion":"1.0.0"})";

std::string blob_path(const Digest& digest) { return fmt::format("blobs/{}/{}", digest.algorithm(), digest.hex()); }

Status collect(const Descriptor& d, content::BlobProvider& blobs, std::stop_token stop, std::set<Digest>& seen,
               std::vector<Descriptor>& out) {
  if (!seen.insert(d.digest).second) return ok();
  out.push_back(d);
  if (content::is_index_type(d.media_type)) {
    KILN_ASSIGN_OR_RETURN(std::string bytes, content::read_blob(blobs, d, stop));
    KILN_ASSIGN_OR_RETURN(auto index, content::parse_index(bytes));
    for (const auto& child : index.manifests) KILN_RETURN_IF_ERROR(collect(child, blobs, stop, seen, out));
  } else if (content::is_manifest_type(d.media_type)) {
    KILN_ASSIGN_OR_RETURN(std::string bytes, content::read_blob(blobs, d, stop));
    KILN_ASSIGN_OR_RETURN(auto manifest, content::parse_manifest(bytes));
    KILN_RETURN_IF_ERROR(collect(manifest.config, blobs, stop, seen, out));
    for (const auto& layer : manifest.layers) KILN_RETURN_IF_ERROR(collect(layer, blobs, stop, seen, out));
  }
  return ok();
}

// What names an image inside a layout: its tag, or all of it when it has none.
std::string layout_name(const std::string& name) {
  auto ref = Reference::parse(name);
  if (!ref.ok() || ref->tag.empty()) return name;
  return ref->digest.empty() ? ref->tag : fmt::format("{}@{}", ref->tag, ref->digest.str());
}

std::string index_json(const LayoutTar& layout) {
  content::Index index;
  index.media_type = content::kOciIndex;
  for (const auto& name : layout.names) {
    Descriptor d = layout.root;
    d.annotations["io.containerd.image.name"] = name;
    d.annotations["org.opencontainers.image.ref.name"] = layout_name(name);
    index.manifests.push_back(std::move(d));
  }
  if (layout.names.empty()) index.manifests.push_back(layout.root);
  return content::to_json(index, content::JsonLayout::kCompact);
}

Result<std::string> docker_manifest_json(const LayoutTar& layout, content::BlobProvider& blobs, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::string bytes, content::read_blob(blobs, layout.root, stop));
  KILN_ASSIGN_OR_RETURN(auto manifest, content::parse_manifest(bytes));
  content::JsonWriter w;
  auto strings = [&](const char* key, const std::vector<std::string>& values) {
    w.key(key);
    if (values.empty()) return w.null();
    w.begin_array();
    for (const auto& value : values) w.string(value);
    w.end_array();
  };
  std::vector<std::string> tags, layers;
  for (const auto& name : layout.names) {
    auto ref = Reference::parse(name);
    tags.push_back(ref.ok() ? ref->familiar() : name);
  }
  for (const auto& layer : manifest.layers) layers.push_back(blob_path(layer.digest));
  w.begin_array();
  w.begin_object();
  w.key("Config");
  w.string(blob_path(manifest.config.digest));
  strings("RepoTags", tags);
  strings("Layers", layers);
  w.end_object();
  w.end_array();
  return w.take();
}

struct Member {
  layer::TarEntry entry;
  std::string text;                // its body, or
  std::optional<Descriptor> blob;  // the blob that is
};

Member text_member(std::string name, std::string text, std::uint32_t mode) {
  Member m;
  m.entry.name = std::move(name);
  m.entry.mode = mode;
  m.entry.size = text.size();
  m.text = std::move(text);
  return m;
}

Member folder_member(std::string name) {
  Member m;
  m.entry.name = std::move(name);
  m.entry.mode = 0755;
  m.entry.type = layer::EntryType::kDirectory;
  return m;
}

Status wrong_size(const Descriptor& blob) {
  return environment_error(Code::kDataLoss,
                           fmt::format("blob {} has not the size of its descriptor", blob.digest.str()));
}

Status copy_blob(const Descriptor& blob, content::BlobProvider& blobs, layer::TarWriter& tar, std::stop_token stop,
                 std::span<char> buffer) {
  KILN_ASSIGN_OR_RETURN(auto source, blobs.open(blob, 0, stop));
  if (auto* lies = dynamic_cast<host::FileSource*>(source.get()); lies && lies->file() >= 0 && tar.takes_files()) {
    struct stat info {};
    bool whole = ::fstat(lies->file(), &info) == 0 && info.st_size == blob.size;
    return whole ? tar.write_file({lies->file(), 0, static_cast<std::uint64_t>(blob.size)}) : wrong_size(blob);
  }
  std::int64_t left = blob.size;
  while (true) {
    if (stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(std::size_t n, source->read(buffer));
    if (n == 0) break;
    left -= static_cast<std::int64_t>(n);
    if (left < 0) break;
    KILN_RETURN_IF_ERROR(tar.write({buffer.data(), n}));
  }
  return left == 0 ? ok() : wrong_size(blob);
}

}  // namespace

Result<std::vector<Descriptor>> reachable_blobs(const Descriptor& root, content::BlobProvider& blobs,
                                                std::stop_token stop) {
  std::set<Digest> seen;
  std::vector<Descriptor> out;
  KILN_RETURN_IF_ERROR(collect(root, blobs, stop, seen, out));
  return out;
}

Status write_layout_tar(const LayoutTar& layout, content::BlobProvider& blobs, ByteSink& sink, std::stop_token stop) {
  std::map<std::string, Member> members;
  auto add = [&](Member m) { members.emplace(m.entry.name, std::move(m)); };
  KILN_ASSIGN_OR_RETURN(auto reachable, reachable_blobs(layout.root, blobs, stop));
  add(folder_member("blobs/"));
  for (const auto& blob : reachable) {
    add(folder_member(fmt::format("blobs/{}/", blob.digest.algorithm())));
    Member m = text_member(blob_path(blob.digest), "", 0444);
    m.entry.size = static_cast<std::uint64_t>(blob.size);
    m.blob = blob;
    add(std::move(m));
  }
  add(text_member("oci-layout", std::string(kLayoutFile), 0444));
  add(text_member("index.json", index_json(layout), 0644));
  if (layout.docker_manifest && content::is_manifest_type(layout.root.media_type)) {
    KILN_ASSIGN_OR_RETURN(std::string json, docker_manifest_json(layout, blobs, stop));
    add(text_member("manifest.json", std::move(json), 0644));
  }
  layer::TarWriter tar(sink);
  std::string buffer(1 << 20, '\0');
  for (const auto& [name, m] : members) {
    KILN_RETURN_IF_ERROR(tar.begin(m.entry));
    KILN_RETURN_IF_ERROR(m.blob ? copy_blob(*m.blob, blobs, tar, stop, buffer) : tar.write(m.text));
  }
  return tar.finish();
}

}  // namespace kiln::exporter::internal
