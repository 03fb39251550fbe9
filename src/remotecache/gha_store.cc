// type=gha: the cache of GitHub Actions. Blobs under "buildkit-blob-1-<digest>"; one configuration a git
// ref that the workflow may read, under a key whose number grows with every change.
#include <mutex>

#include "base/log.h"
#include "remotecache/gha_client.h"

namespace kiln::remotecache {
namespace {

constexpr const char* kBlobPrefix = "buildkit-blob-1-";

class GhaStore final : public ObjectStore {
 public:
  GhaStore(GhaOptions options, std::vector<GhaScope> scopes, StoreServices services)
      : options_(options), scopes_(std::move(scopes)), cache_(std::move(options), std::move(services)) {}

  Result<bool> has(const content::Descriptor& blob, std::stop_token stop) override {
    KILN_ASSIGN_OR_RETURN(auto entry, cache_.load(kBlobPrefix + blob.digest.str(), stop));
    return entry.has_value();
  }

  Result<bool> keep(const content::Descriptor& blob, std::stop_token stop) override {
    if (const auto* known = known_keys(stop)) return known->contains(kBlobPrefix + blob.digest.str());
    return has(blob, stop);
  }

  Status put(const content::Descriptor& blob, content::BlobProvider& from, std::stop_token stop) override {
    const GhaBlob bytes{[&](std::uint64_t offset) { return from.open(blob, static_cast<std::int64_t>(offset), stop); },
                        static_cast<std::uint64_t>(blob.size)};
    Status status = cache_.save(kBlobPrefix + blob.digest.str(), bytes, stop);
    return absl::IsAlreadyExists(status) ? ok() : status;
  }

  Status put_config(std::string_view json, std::stop_token stop) override {
    std::string scope;
    for (const GhaScope& one : scopes_) {
      if (one.writable) scope = one.scope;
    }
    return cache_.save_mutable(index_key(scope), gha_blob(std::string(json)), stop);
  }

  Result<std::vector<std::string>> configs(std::stop_token stop) override {
    std::vector<std::string> out;
    for (const GhaScope& scope : scopes_) {
      auto source = cache_.read(index_key(scope.scope), 0, stop);
      if (is_not_found(source.status())) continue;
      if (!source.ok()) return source.status();
      KILN_ASSIGN_OR_RETURN(std::string text, read_all(**source, 64 << 20));
      out.push_back(std::move(text));
    }
    return out;
  }

  // GitHub counts requests: one blob after the other.
  std::size_t uploads_max() const override { return 1; }

  Result<std::unique_ptr<ByteSource>> open(const content::Descriptor& blob, std::int64_t offset,
                                           std::stop_token stop) override {
    return cache_.read(kBlobPrefix + blob.digest.str(), static_cast<std::uint64_t>(offset), stop);
  }

 private:
  std::string index_key(const std::string& scope) const {
    return fmt::format("index-{}-1-{}", options_.scope, Digest::of(scope).hex().substr(0, 8));
  }

  // Null when the keys are not to be listed, or could not be.
  const std::set<std::string>* known_keys(std::stop_token stop) {
    if (options_.repository.empty() || options_.github_token.empty()) return nullptr;
    std::lock_guard lock(mutex_);
    if (!listed_) {
      listed_ = true;
      auto keys = cache_.keys(kBlobPrefix, scopes_, stop);
      if (keys.ok()) {
        keys_ = *std::move(keys);
      } else {
        log_warn("github actions cache: {}", message_of(keys.status()));
      }
    }
    return keys_ ? &*keys_ : nullptr;
  }

  const GhaOptions options_;
  const std::vector<GhaScope> scopes_;
  GhaClient cache_;
  std::mutex mutex_;
  bool listed_ = false;
  std::optional<std::set<std::string>> keys_;
};

}  // namespace

Result<std::shared_ptr<ObjectStore>> make_gha_store(const Attrs& attrs, StoreServices services) {
  KILN_ASSIGN_OR_RETURN(GhaOptions options, GhaOptions::read(attrs));
  KILN_ASSIGN_OR_RETURN(auto scopes, read_gha_token(options.token, services.clock->now()));
  return std::shared_ptr<ObjectStore>(
      std::make_shared<GhaStore>(std::move(options), std::move(scopes), std::move(services)));
}

}  // namespace kiln::remotecache
