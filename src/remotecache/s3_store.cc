// type=s3: blobs below <prefix><blobs_prefix>, configurations below <prefix><manifests_prefix>.
#include "remotecache/s3_client.h"

namespace kiln::remotecache {
namespace {

class S3Store final : public ObjectStore {
 public:
  S3Store(S3Options options, StoreServices services) : options_(options), services_(services), s3_(options, services) {}

  Result<bool> has(const content::Descriptor& blob, std::stop_token stop) override {
    KILN_ASSIGN_OR_RETURN(auto found, s3_.head(blob_key(blob.digest), stop));
    return found.has_value();
  }

  Result<bool> keep(const content::Descriptor& blob, std::stop_token stop) override {
    const std::string key = blob_key(blob.digest);
    KILN_ASSIGN_OR_RETURN(auto found, s3_.head(key, stop));
    if (!found) return false;
    if (found->modified && services_.clock->now() - *found->modified > options_.touch_refresh) {
      KILN_RETURN_IF_ERROR(s3_.touch(key, found->size, stop));
    }
    return true;
  }

  Status put(const content::Descriptor& blob, content::BlobProvider& from, std::stop_token stop) override {
    auto open = [&](std::uint64_t offset) { return from.open(blob, static_cast<std::int64_t>(offset), stop); };
    // The digest of a layer is the very hash that the signature wants.
    return s3_.put(blob_key(blob.digest), open, static_cast<std::uint64_t>(blob.size), blob.digest.hex(), stop);
  }

  Status put_config(std::string_view json, std::stop_token stop) override {
    for (const std::string& name : options_.names) {
      Status status = s3_.put(config_key(name), json, stop);
      if (!status.ok()) return annotate(status, "error writing manifest: " + name);
    }
    return ok();
  }

  Result<std::vector<std::string>> configs(std::stop_token stop) override {
    auto source = s3_.get(config_key(options_.names.front()), 0, stop);
    if (is_not_found(source.status())) return std::vector<std::string>();
    if (!source.ok()) return source.status();
    KILN_ASSIGN_OR_RETURN(std::string text, read_all(**source, kConfigBytesMax));
    return std::vector<std::string>{std::move(text)};
  }

  std::size_t uploads_max() const override { return static_cast<std::size_t>(options_.upload_parallelism); }

  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override {
    return s3_.get(blob_key(blob.digest), static_cast<std::uint64_t>(offset), stop);
  }

 private:
  static constexpr std::size_t kConfigBytesMax = 64 << 20;

  std::string blob_key(const Digest& digest) const { return options_.prefix + options_.blobs_prefix + digest.str(); }
  std::string config_key(const std::string& name) const { return options_.prefix + options_.manifests_prefix + name; }

  const S3Options options_;
  const StoreServices services_;
  S3Client s3_;
};

}  // namespace

Result<std::shared_ptr<ObjectStore>> make_s3_store(const Attrs& attrs, StoreServices services) {
  KILN_ASSIGN_OR_RETURN(S3Options options, S3Options::read(attrs, services));
  return std::shared_ptr<ObjectStore>(std::make_shared<S3Store>(std::move(options), std::move(services)));
}

}  // namespace kiln::remotecache
