#include "client/oci_layout.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "content/blob_store_file.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::client {
namespace {

constexpr std::string_view kNameAnnotation = "io.containerd.image.name";
constexpr std::int64_t kManifestBytesMax = 4 << 20;
constexpr std::string_view kRefAnnotation = "org.opencontainers.image.ref.name";

// A layout has no place for labels; what a daemon attaches to a blob is dropped.
class UnlabeledWriter final : public content::BlobWriter {
 public:
  UnlabeledWriter(std::unique_ptr<content::BlobWriter> inner, Committed committed)
      : inner_(std::move(inner)), committed_(std::move(committed)) {}
  Status write(std::string_view bytes) override { return inner_->write(bytes); }
  std::int64_t written() const override { return inner_->written(); }
  Result<content::BlobInfo> commit(const content::CommitOptions& options) override {
    Result<content::BlobInfo> blob = inner_->commit({.digest = options.digest, .size = options.size, .labels = {}});
    if (blob.ok() && committed_) committed_(*blob);
    return blob;
  }

 private:
  std::unique_ptr<content::BlobWriter> inner_;
  Committed committed_;
};

class UnlabeledStore final : public content::BlobStore {
 public:
  UnlabeledStore(std::unique_ptr<content::BlobStore> inner, Committed committed)
      : inner_(std::move(inner)), committed_(std::move(committed)) {}
  Result<std::optional<content::BlobInfo>> info(const Digest& digest) override { return inner_->info(digest); }
  Result<std::unique_ptr<content::BlobReader>> open(const Digest& digest, std::int64_t offset) override {
    return inner_->open(digest, offset);
  }
  Result<std::unique_ptr<content::BlobWriter>> ingest(std::string_view algorithm) override {
    KILN_ASSIGN_OR_RETURN(std::unique_ptr<content::BlobWriter> writer, inner_->ingest(algorithm));
    return std::make_unique<UnlabeledWriter>(std::move(writer), committed_);
  }
  Status remove(const Digest& digest) override { return inner_->remove(digest); }
  Status walk(const std::function<Status(const content::BlobInfo&)>& visit) override { return inner_->walk(visit); }
  Status set_labels(const Digest&, const content::StringMap&) override { return ok(); }

 private:
  std::unique_ptr<content::BlobStore> inner_;
  Committed committed_;
};

// Holds the lock file while it lives. Whoever had it takes it away: a lock on a file that has gone meanwhile is none.
class IndexLock {
 public:
  static Result<IndexLock> take(const std::string& dir) {
    IndexLock lock;
    lock.path_ = dir + "/index.json.lock";
    for (;;) {
      KILN_ASSIGN_OR_RETURN(lock.file_, host::open_file(lock.path_, O_RDWR | O_CREAT, 0600));
      if (flock(lock.file_.get(), LOCK_EX) != 0) return errno_error(errno, fmt::format("lock '{}'", lock.path_));
      struct stat held {
      }, there{};
      if (fstat(lock.file_.get(), &held) != 0) return errno_error(errno, fmt::format("stat '{}'", lock.path_));
      if (stat(lock.path_.c_str(), &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev)
        return lock;
    }
  }
  IndexLock() = default;
  IndexLock(IndexLock&&) = default;
  ~IndexLock() {
    if (file_.valid()) unlink(path_.c_str());
  }

 private:
  std::string path_;
  host::Fd file_;
};

Result<content::Index> read_index(const std::string& dir) {
  Result<std::string> text = host::read_file(dir + "/index.json", 64 << 20);
  if (!text.ok() && is_not_found(text.status())) return content::Index{.media_type = std::string(content::kOciIndex)};
  KILN_RETURN_IF_ERROR(text.status());
  if (text->empty()) return content::Index{.media_type = std::string(content::kOciIndex)};
  return content::parse_index(*text);
}

std::string annotation(const content::Descriptor& descriptor, std::string_view key) {
  auto at = descriptor.annotations.find(std::string(key));
  return at == descriptor.annotations.end() ? "" : at->second;
}

// What stands behind the repository in an image's name: "v1" of "host/a/b:v1"; the name itself when
// it has no such form.
std::string reference_name(const std::string& name) {
  auto slash = name.rfind('/');
  if (slash == std::string::npos) return name;
  auto mark = name.find_first_of(":@", slash);
  return mark == std::string::npos ? "" : name.substr(name[mark] == ':' ? mark + 1 : mark);
}

Status reach(content::BlobStore& store, const content::Descriptor& descriptor, std::set<Digest>& seen) {
  if (!seen.insert(descriptor.digest).second) return ok();
  if (content::is_index_type(descriptor.media_type)) {
    KILN_ASSIGN_OR_RETURN(std::string text, content::read_blob(store, descriptor.digest));
    KILN_ASSIGN_OR_RETURN(content::Index index, content::parse_index(text));
    for (const auto& manifest : index.manifests) KILN_RETURN_IF_ERROR(reach(store, manifest, seen));
  } else if (content::is_manifest_type(descriptor.media_type)) {
    KILN_ASSIGN_OR_RETURN(std::string text, content::read_blob(store, descriptor.digest));
    KILN_ASSIGN_OR_RETURN(content::Manifest manifest, content::parse_manifest(text));
    seen.insert(manifest.config.digest);
    for (const auto& layer : manifest.layers) seen.insert(layer.digest);
  }
  return ok();
}

}  // namespace

Result<std::shared_ptr<content::BlobStore>> open_layout(const std::string& dir, Make make, Committed committed) {
  if (make == Make::kYes) {
    KILN_RETURN_IF_ERROR(host::make_dirs(dir));
  } else if (!host::exists(dir)) {
    return user_error(Code::kNotFound, fmt::format("directory '{}' does not exist", dir));
  }
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<content::FileBlobStore> store,
                        content::FileBlobStore::open(dir, content::FileBlobStore::Owner::kOneOfMany));
  return std::make_shared<UnlabeledStore>(std::move(store), std::move(committed));
}

Result<std::optional<content::Descriptor>> describe_manifest(const std::string& dir, const Digest& digest) {
  std::optional<content::Descriptor> out;
  KILN_ASSIGN_OR_RETURN(std::unique_ptr<content::FileBlobStore> store,
                        content::FileBlobStore::open(dir, content::FileBlobStore::Owner::kOneOfMany));
  KILN_ASSIGN_OR_RETURN(std::optional<content::BlobInfo> there, store->info(digest));
  if (!there || there->size > kManifestBytesMax) return out;
  KILN_ASSIGN_OR_RETURN(std::string text, content::read_blob(*store, digest));
  content::Descriptor found;
  found.digest = digest;
  found.size = there->size;
  if (auto manifest = content::parse_manifest(text); manifest.ok() && !manifest->config.digest.empty()) {
    found.media_type = manifest->media_type;
  } else if (auto index = content::parse_index(text); index.ok() && !index->manifests.empty()) {
    found.media_type = index->media_type;
  } else {
    return out;
  }
  out = std::move(found);
  return out;
}

Status add_to_index(const std::string& dir, const content::Descriptor& descriptor,
                    const std::vector<IndexName>& names) {
  KILN_ASSIGN_OR_RETURN(IndexLock lock, IndexLock::take(dir));
  KILN_RETURN_IF_ERROR(host::write_file(dir + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  KILN_ASSIGN_OR_RETURN(content::Index index, read_index(dir));
  if (index.media_type.empty()) index.media_type = content::kOciIndex;
  if (names.empty()) index.manifests.push_back(descriptor);
  for (const IndexName& name : names) {
    std::string image = name.kind == NameKind::kName ? name.text : "";
    std::string ref = name.kind == NameKind::kName ? reference_name(name.text) : name.text;
    std::erase_if(index.manifests, [&](const content::Descriptor& d) {
      return annotation(d, kRefAnnotation) == ref && annotation(d, kNameAnnotation) == image;
    });
    content::Descriptor named = descriptor;
    if (!image.empty()) named.annotations[std::string(kNameAnnotation)] = image;
    named.annotations[std::string(kRefAnnotation)] = ref;
    index.manifests.push_back(std::move(named));
  }
  return host::replace_file(dir + "/index.json", content::to_json(index, content::JsonLayout::kCompact));
}

Result<std::optional<content::Descriptor>> find_in_index(const std::string& dir, std::string_view tag) {
  KILN_ASSIGN_OR_RETURN(content::Index index, read_index(dir));
  for (std::string_view key : {kNameAnnotation, kRefAnnotation}) {
    for (const content::Descriptor& descriptor : index.manifests) {
      if (annotation(descriptor, key) == tag) return std::optional(descriptor);
    }
  }
  return std::optional<content::Descriptor>();
}

Status drop_unreferenced(const std::string& dir) {
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<content::BlobStore> store, open_layout(dir, Make::kNo));
  KILN_ASSIGN_OR_RETURN(content::Index index, read_index(dir));
  std::set<Digest> reached;
  for (const content::Descriptor& manifest : index.manifests) KILN_RETURN_IF_ERROR(reach(*store, manifest, reached));
  std::vector<Digest> gone;
  KILN_RETURN_IF_ERROR(store->walk([&](const content::BlobInfo& blob) {
    if (!reached.contains(blob.digest)) gone.push_back(blob.digest);
    return ok();
  }));
  for (const Digest& digest : gone) KILN_RETURN_IF_ERROR(store->remove(digest));
  return ok();
}

}  // namespace kiln::client
