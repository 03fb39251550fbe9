// The blob store of a daemon: a folder of files.
//
//   <root>/blobs/sha256/<hex>        the blob, read-only
//   <root>/labels/sha256/<hex>.json  its labels, only when it has any
//   <root>/ingest/<id>               writes under way; emptied at open
//
// Durability: a blob becomes visible by rename(2) after its bytes were hashed, so a killed daemon
// leaves whole blobs only. By default nothing is synced: after a power cut a recent blob may be
// short or zero-filled. info() compares the size with what the caller knows; sync() makes everything
// so far durable with one syncfs(2), which callers do once at the end of what must survive (an
// image recorded, a cache record committed) instead of once a blob.
#pragma once

#include <memory>
#include <string>

#include "content/blob_store.h"

namespace kiln::content {

// Any thread.
class FileBlobStore final : public BlobStore {
 public:
  // Whether other processes may write into the folder at the same time; then it has no place for labels.
  enum class Owner { kAlone, kOneOfMany };
  // Makes the folders when missing, removes leftovers of ingests: all of them, or those that nobody can be writing
  // any more.
  static Result<std::unique_ptr<FileBlobStore>> open(std::string root, Owner owner = Owner::kAlone);
  ~FileBlobStore() override;

  Result<std::optional<BlobInfo>> info(const Digest& digest) override;
  Result<std::unique_ptr<BlobReader>> open(const Digest& digest, std::int64_t offset = 0) override;
  Result<std::unique_ptr<BlobWriter>> ingest(std::string_view algorithm = "sha256") override;
  Status remove(const Digest& digest) override;
  Status walk(const std::function<Status(const BlobInfo&)>& visit) override;
  Status set_labels(const Digest& digest, const StringMap& labels) override;

  // Where the file of a blob lies, whether it exists or not.
  std::string path_of(const Digest& digest) const;
  // One syncfs over the folder's file system. Blocking.
  Status sync();

 private:
  explicit FileBlobStore(std::string root) : root_(std::move(root)) {}
  std::string labels_path(const Digest& digest) const;
  StringMap read_labels(const Digest& digest) const;
  std::string root_;
};

}  // namespace kiln::content
