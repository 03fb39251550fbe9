// The records of trees in SQLite: rows in, rows out, no behaviour. Format: docs/formats/store.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "content/descriptor.h"
#include "db/database.h"
#include "store/tree.h"

namespace kiln::store {

inline constexpr std::int64_t kUnknownSize = -1;

struct Record {
  std::string id;
  TreeKind kind = TreeKind::kLayer;
  bool is_mutable = false;           // kept, writable
  std::vector<std::string> parents;  // "" stands for scratch; a layer on scratch has none
  std::string snapshot;              // id of its directory, "" when it has none yet
  std::string twin;                  // of a frozen tree: the kept one whose directory it shows
  std::string diff_id;
  std::string chain_id;
  std::string blob_chain_id;
  std::int64_t snapshot_size = kUnknownSize;
  std::int64_t created_ns = 0;
  std::int64_t last_used_ns = 0;  // 0: never
  int uses = 0;
  RecordType type = RecordType::kRegular;
  std::string description;
};

// One encoding of a layer.
struct BlobVariant {
  content::Descriptor blob;
  Digest diff_id;
  std::string variant;  // "" for the one that defines the layer, else what it was made for
  bool local = false;   // in the blob store
};

struct BlobRow {
  std::string tree;
  std::string digest;
  std::int64_t size = 0;
};

// Any thread. All calls are short; errors are the database's.
class Records {
 public:
  static Result<std::unique_ptr<Records>> open(const std::string& path);

  Result<std::optional<Record>> load(std::string_view id);
  Status insert(const Record& record);
  // Removes the rows of the record; gives the blobs nobody else names, and the snapshot when no other
  // record uses it.
  struct Leftovers {
    std::vector<std::string> blobs;
    std::string snapshot;
  };
  Result<Leftovers> remove(std::string_view id);
  Result<std::vector<Record>> all();
  Result<bool> exists(std::string_view id);
  Result<bool> has_children(std::string_view id);
  Result<std::optional<std::string>> child_of_twin(std::string_view twin);
  Status forget_twin(std::string_view id);

  Status set_snapshot(std::string_view id, std::string_view snapshot);
  Status set_snapshot_size(std::string_view id, std::int64_t size);
  Status set_chain(std::string_view id, const Digest& diff_id, const Digest& chain_id, const Digest& blob_chain_id);
  // Adds uses, later than what is there.
  Status add_use(std::string_view id, std::int64_t when_ns);
  Result<std::vector<std::string>> find_by_chain(const Digest& chain_id);
  Result<std::vector<std::string>> find_by_blob_chain(const Digest& blob_chain_id);
  Result<bool> names_snapshot(std::string_view snapshot);

  Status put_blob(std::string_view id, const BlobVariant& variant);
  Result<std::vector<BlobVariant>> blobs_of(std::string_view id);
  Result<std::vector<BlobRow>> local_blobs();  // oldest record first
  Status hold_blob(std::string_view id, const Digest& blob, std::int64_t size);

  Status hold_for_owner(std::string_view owner, const Digest& blob);
  Result<std::vector<std::string>> release_owner(std::string_view owner);  // blobs nobody names now
  // Owners live no longer than the process: those of an earlier one go, their blobs are swept.
  Status forget_owners();
  Result<bool> names_blob(const Digest& blob);  // any record or owner

  Status set_attribute(std::string_view id, std::string_view key, std::string_view value, std::string_view index_key);
  Result<std::optional<std::string>> attribute(std::string_view id, std::string_view key);
  // Newest first.
  Result<std::vector<std::string>> find_by_index(std::string_view index_key, bool is_mutable);

  db::Database& database() { return *database_; }

 private:
  explicit Records(std::unique_ptr<db::Database> database) : database_(std::move(database)) {}
  Result<std::vector<std::string>> strings(std::string_view sql, std::string_view argument);
  Result<std::vector<std::string>> parents_of(std::string_view id);
  std::unique_ptr<db::Database> database_;
};

}  // namespace kiln::store
