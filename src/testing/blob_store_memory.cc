#include "testing/blob_store_memory.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>

namespace kiln::testing {
namespace {

using content::BlobInfo;
using content::BlobReader;
using content::BlobWriter;

class MemoryReader final : public BlobReader {
 public:
  MemoryReader(std::shared_ptr<const std::string> bytes, std::int64_t at) : bytes_(std::move(bytes)), at_(at) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(bytes_->size()); }
  Result<std::size_t> read_at(std::int64_t offset, std::span<char> buffer) override {
    if (offset >= size()) return std::size_t{0};
    std::size_t n = std::min(buffer.size(), static_cast<std::size_t>(size() - offset));
    std::memcpy(buffer.data(), bytes_->data() + offset, n);
    return n;
  }
  Result<std::size_t> read(std::span<char> buffer) override {
    KILN_ASSIGN_OR_RETURN(std::size_t n, read_at(at_, buffer));
    at_ += static_cast<std::int64_t>(n);
    return n;
  }

 private:
  std::shared_ptr<const std::string> bytes_;
  std::int64_t at_;
};

class MemoryWriter final : public BlobWriter {
 public:
  MemoryWriter(MemoryBlobStore& store, std::string_view algorithm) : store_(store), hasher_(algorithm) {}
  std::int64_t written() const override { return static_cast<std::int64_t>(bytes_.size()); }
  Status write(std::string_view bytes) override {
    hasher_.update(bytes);
    bytes_.append(bytes);
    return ok();
  }
  Result<BlobInfo> commit(const content::CommitOptions& options) override {
    Digest digest = hasher_.finish();
    if (!options.digest.empty() && digest != options.digest) {
      return peer_error(Code::kFailedPrecondition, "unexpected commit digest");
    }
    if (options.size >= 0 && written() != options.size) {
      return peer_error(Code::kFailedPrecondition, "unexpected commit size");
    }
    store_.put(digest, {std::make_shared<const std::string>(std::move(bytes_)), options.labels});
    KILN_ASSIGN_OR_RETURN(auto info, store_.info(digest));
    return *info;
  }

 private:
  MemoryBlobStore& store_;
  Hasher hasher_;
  std::string bytes_;
};

Status absent(const Digest& digest) {
  return environment_error(Code::kNotFound, fmt::format("blob {} not found", digest.str()));
}

}  // namespace

Result<std::optional<BlobInfo>> MemoryBlobStore::info(const Digest& digest) {
  std::lock_guard guard(mutex_);
  auto it = blobs_.find(digest);
  if (it == blobs_.end()) return std::optional<BlobInfo>();
  return std::optional<BlobInfo>(
      BlobInfo{digest, static_cast<std::int64_t>(it->second.bytes->size()), Time{}, it->second.labels});
}

Result<std::unique_ptr<BlobReader>> MemoryBlobStore::open(const Digest& digest, std::int64_t offset) {
  std::lock_guard guard(mutex_);
  auto it = blobs_.find(digest);
  if (it == blobs_.end()) return absent(digest);
  if (offset < 0 || offset > static_cast<std::int64_t>(it->second.bytes->size())) {
    return user_error(Code::kOutOfRange, "offset is outside the blob");
  }
  return std::unique_ptr<BlobReader>(new MemoryReader(it->second.bytes, offset));
}

Result<std::unique_ptr<BlobWriter>> MemoryBlobStore::ingest(std::string_view algorithm) {
  return std::unique_ptr<BlobWriter>(new MemoryWriter(*this, algorithm));
}

Status MemoryBlobStore::remove(const Digest& digest) {
  std::lock_guard guard(mutex_);
  blobs_.erase(digest);
  return ok();
}

Status MemoryBlobStore::walk(const std::function<Status(const BlobInfo&)>& visit) {
  std::map<Digest, Blob> blobs;
  {
    std::lock_guard guard(mutex_);
    blobs = blobs_;
  }
  for (const auto& [digest, blob] : blobs) {
    KILN_RETURN_IF_ERROR(visit({digest, static_cast<std::int64_t>(blob.bytes->size()), Time{}, blob.labels}));
  }
  return ok();
}

Status MemoryBlobStore::set_labels(const Digest& digest, const content::StringMap& labels) {
  std::lock_guard guard(mutex_);
  auto it = blobs_.find(digest);
  if (it == blobs_.end()) return absent(digest);
  for (const auto& [key, value] : labels) {
    if (value.empty()) {
      it->second.labels.erase(key);
    } else {
      it->second.labels[key] = value;
    }
  }
  return ok();
}

void MemoryBlobStore::put(const Digest& digest, Blob blob) {
  std::lock_guard guard(mutex_);
  auto [it, fresh] = blobs_.try_emplace(digest, blob);
  if (!fresh) it->second.labels.merge(blob.labels);
}

}  // namespace kiln::testing
