#include "store/internal/records.h"

#include <fmt/format.h>

#include <map>
#include <utility>

namespace kiln::store {

namespace {

// Append only. An index over some rows serves only queries that say so: "x = ?1 AND x <> ''".
const std::vector<std::string> kMigrations = {R"sql(
CREATE TABLE tree(
  id TEXT PRIMARY KEY, kind INTEGER NOT NULL, mutable INTEGER NOT NULL, snapshot TEXT NOT NULL, twin TEXT NOT NULL,
  diff_id TEXT NOT NULL, chain_id TEXT NOT NULL, blob_chain_id TEXT NOT NULL, snapshot_size INTEGER NOT NULL,
  created INTEGER NOT NULL, last_used INTEGER NOT NULL, uses INTEGER NOT NULL, type TEXT NOT NULL,
  description TEXT NOT NULL);
CREATE INDEX tree_snapshot ON tree(snapshot) WHERE snapshot <> '';
CREATE INDEX tree_twin ON tree(twin) WHERE twin <> '';
CREATE INDEX tree_chain ON tree(chain_id) WHERE chain_id <> '';
CREATE INDEX tree_blob_chain ON tree(blob_chain_id) WHERE blob_chain_id <> '';
CREATE TABLE tree_parent(child TEXT NOT NULL, position INTEGER NOT NULL, parent TEXT NOT NULL,
  PRIMARY KEY(child, position)) WITHOUT ROWID;
CREATE INDEX tree_parent_parent ON tree_parent(parent);
CREATE TABLE tree_blob(tree TEXT NOT NULL, digest TEXT NOT NULL, variant TEXT NOT NULL, descriptor TEXT NOT NULL,
  diff_id TEXT NOT NULL, size INTEGER NOT NULL, local INTEGER NOT NULL, PRIMARY KEY(tree, digest, variant)) WITHOUT ROWID;
CREATE INDEX tree_blob_digest ON tree_blob(digest);
CREATE TABLE tree_attribute(tree TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, index_key TEXT NOT NULL,
  PRIMARY KEY(tree, key)) WITHOUT ROWID;
CREATE INDEX tree_attribute_index ON tree_attribute(index_key) WHERE index_key <> '';
CREATE TABLE blob_owner(owner TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY(owner, digest)) WITHOUT ROWID;
CREATE INDEX blob_owner_digest ON blob_owner(digest);
)sql"};

constexpr std::string_view kColumns =
    "id, kind, mutable, snapshot, twin, diff_id, chain_id, blob_chain_id, snapshot_size, created, last_used, uses, "
    "type, description";

Record read_record(const db::Statement& row) {
  Record r;
  r.id = row.text(0);
  r.kind = static_cast<TreeKind>(row.integer(1));
  r.is_mutable = row.integer(2) != 0;
  r.snapshot = row.text(3);
  r.twin = row.text(4);
  r.diff_id = row.text(5);
  r.chain_id = row.text(6);
  r.blob_chain_id = row.text(7);
  r.snapshot_size = row.integer(8);
  r.created_ns = row.integer(9);
  r.last_used_ns = row.integer(10);
  r.uses = static_cast<int>(row.integer(11));
  r.type = parse_record_type(row.text(12));
  r.description = row.text(13);
  return r;
}

// Whether any record or owner still names the blob.
Result<bool> blob_is_named(db::Database& db, std::string_view digest) {
  KILN_ASSIGN_OR_RETURN(db::Statement row,
                        db.prepare("SELECT 1 WHERE EXISTS(SELECT 1 FROM tree_blob WHERE digest = ?1) "
                                   "OR EXISTS(SELECT 1 FROM blob_owner WHERE digest = ?1)"));
  KILN_RETURN_IF_ERROR(row.bind(digest));
  return row.step();
}

Status keep_unnamed(db::Database& db, std::vector<std::string>& digests) {
  std::vector<std::string> unnamed;
  for (std::string& digest : digests) {
    KILN_ASSIGN_OR_RETURN(bool named, blob_is_named(db, digest));
    if (!named) unnamed.push_back(std::move(digest));
  }
  digests = std::move(unnamed);
  return ok();
}

}  // namespace

Result<std::unique_ptr<Records>> Records::open(const std::string& path) {
  KILN_ASSIGN_OR_RETURN(auto database, db::Database::open({.path = path, .migrations = kMigrations}));
  return std::unique_ptr<Records>(new Records(std::move(database)));
}

Result<std::vector<std::string>> Records::strings(std::string_view sql, std::string_view argument) {
  KILN_ASSIGN_OR_RETURN(db::Statement row, database_->prepare(sql));
  if (sql.find("?1") != std::string_view::npos) KILN_RETURN_IF_ERROR(row.bind(argument));
  std::vector<std::string> found;
  for (;;) {
    KILN_ASSIGN_OR_RETURN(bool more, row.step());
    if (!more) return found;
    found.emplace_back(row.text(0));
  }
}

Result<std::vector<std::string>> Records::parents_of(std::string_view id) {
  return strings("SELECT parent FROM tree_parent WHERE child = ?1 ORDER BY position", id);
}

Result<std::optional<Record>> Records::load(std::string_view id) {
  std::optional<Record> record;
  {
    KILN_ASSIGN_OR_RETURN(db::Statement row,
                          database_->prepare(fmt::format("SELECT {} FROM tree WHERE id = ?1", kColumns)));
    KILN_RETURN_IF_ERROR(row.bind(id));
    KILN_ASSIGN_OR_RETURN(bool found, row.step());
    if (!found) return record;
    record = read_record(row);
  }
  KILN_ASSIGN_OR_RETURN(record->parents, parents_of(id));
  return record;
}

Status Records::insert(const Record& r) {
  return database_->write([&](db::Database& db) -> Status {
    KILN_RETURN_IF_ERROR(
        db.run(fmt::format("INSERT INTO tree({}) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)", kColumns),
               r.id, static_cast<int>(r.kind), r.is_mutable, r.snapshot, r.twin, r.diff_id, r.chain_id, r.blob_chain_id,
               r.snapshot_size, r.created_ns, r.last_used_ns, r.uses, to_string(r.type), r.description));
    for (std::size_t i = 0; i < r.parents.size(); ++i) {
      KILN_RETURN_IF_ERROR(
          db.run("INSERT INTO tree_parent VALUES(?1, ?2, ?3)", r.id, static_cast<std::int64_t>(i), r.parents[i]));
    }
    return ok();
  });
}

Result<Records::Leftovers> Records::remove(std::string_view id) {
  Leftovers left;
  Status done = database_->write([&](db::Database& db) -> Status {
    KILN_ASSIGN_OR_RETURN(std::optional<Record> record, load(id));
    if (!record) return ok();
    KILN_ASSIGN_OR_RETURN(left.blobs, strings("SELECT DISTINCT digest FROM tree_blob WHERE tree = ?1 AND local", id));
    KILN_RETURN_IF_ERROR(db.run("DELETE FROM tree_blob WHERE tree = ?1", id));
    KILN_RETURN_IF_ERROR(db.run("DELETE FROM tree_attribute WHERE tree = ?1", id));
    KILN_RETURN_IF_ERROR(db.run("DELETE FROM tree_parent WHERE child = ?1", id));
    KILN_RETURN_IF_ERROR(db.run("DELETE FROM tree WHERE id = ?1", id));
    KILN_RETURN_IF_ERROR(keep_unnamed(db, left.blobs));
    if (record->snapshot.empty()) return ok();
    KILN_ASSIGN_OR_RETURN(
        auto sharers, strings("SELECT id FROM tree WHERE snapshot = ?1 AND snapshot <> '' LIMIT 1", record->snapshot));
    if (sharers.empty()) left.snapshot = record->snapshot;
    return ok();
  });
  if (!done.ok()) return done;
  return left;
}

Result<std::vector<Record>> Records::all() {
  std::vector<Record> records;
  std::map<std::string, std::size_t, std::less<>> place;
  {
    KILN_ASSIGN_OR_RETURN(db::Statement row,
                          database_->prepare(fmt::format("SELECT {} FROM tree ORDER BY rowid", kColumns)));
    for (;;) {
      KILN_ASSIGN_OR_RETURN(bool more, row.step());
      if (!more) break;
      place.emplace(std::string(row.text(0)), records.size());
      records.push_back(read_record(row));
    }
  }
  KILN_ASSIGN_OR_RETURN(db::Statement row,
                        database_->prepare("SELECT child, parent FROM tree_parent ORDER BY child, position"));
  for (;;) {
    KILN_ASSIGN_OR_RETURN(bool more, row.step());
    if (!more) return records;
    if (auto at = place.find(row.text(0)); at != place.end()) records[at->second].parents.emplace_back(row.text(1));
  }
}

Result<bool> Records::exists(std::string_view id) {
  KILN_ASSIGN_OR_RETURN(auto ids, strings("SELECT id FROM tree WHERE id = ?1", id));
  return !ids.empty();
}

Result<bool> Records::has_children(std::string_view id) {
  KILN_ASSIGN_OR_RETURN(auto children, strings("SELECT child FROM tree_parent WHERE parent = ?1 LIMIT 1", id));
  return !children.empty();
}

Result<std::optional<std::string>> Records::child_of_twin(std::string_view twin) {
  KILN_ASSIGN_OR_RETURN(auto ids, strings("SELECT id FROM tree WHERE twin = ?1 AND twin <> '' LIMIT 1", twin));
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

Status Records::forget_twin(std::string_view id) {
  return database_->run("UPDATE tree SET twin = '' WHERE id = ?1", id);
}

Status Records::set_snapshot(std::string_view id, std::string_view snapshot) {
  return database_->run("UPDATE tree SET snapshot = ?2, snapshot_size = -1 WHERE id = ?1", id, snapshot);
}

Status Records::set_snapshot_size(std::string_view id, std::int64_t size) {
  return database_->run("UPDATE tree SET snapshot_size = ?2 WHERE id = ?1", id, size);
}

Status Records::set_chain(std::string_view id, const Digest& diff_id, const Digest& chain_id,
                          const Digest& blob_chain_id) {
  return database_->run("UPDATE tree SET diff_id = ?2, chain_id = ?3, blob_chain_id = ?4 WHERE id = ?1", id,
                        diff_id.str(), chain_id.str(), blob_chain_id.str());
}

Status Records::add_use(std::string_view id, std::int64_t when_ns) {
  return database_->run("UPDATE tree SET uses = uses + 1, last_used = max(last_used, ?2) WHERE id = ?1", id, when_ns);
}

Result<std::vector<std::string>> Records::find_by_chain(const Digest& chain_id) {
  return strings("SELECT id FROM tree WHERE chain_id = ?1 AND chain_id <> '' AND snapshot <> '' ORDER BY rowid",
                 chain_id.str());
}

Result<std::vector<std::string>> Records::find_by_blob_chain(const Digest& blob_chain_id) {
  return strings("SELECT id FROM tree WHERE blob_chain_id = ?1 AND blob_chain_id <> '' ORDER BY rowid",
                 blob_chain_id.str());
}

Result<bool> Records::names_snapshot(std::string_view snapshot) {
  KILN_ASSIGN_OR_RETURN(auto ids,
                        strings("SELECT id FROM tree WHERE snapshot = ?1 AND snapshot <> '' LIMIT 1", snapshot));
  return !ids.empty();
}

Status Records::put_blob(std::string_view id, const BlobVariant& v) {
  return database_->run("INSERT OR REPLACE INTO tree_blob VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)", id, v.blob.digest.str(),
                        v.variant, content::to_json(v.blob), v.diff_id.str(), v.blob.size, v.local);
}

Result<std::vector<BlobVariant>> Records::blobs_of(std::string_view id) {
  KILN_ASSIGN_OR_RETURN(db::Statement row,
                        database_->prepare("SELECT descriptor, diff_id, variant, local FROM tree_blob "
                                           "WHERE tree = ?1 AND descriptor <> '' ORDER BY variant"));
  KILN_RETURN_IF_ERROR(row.bind(id));
  std::vector<BlobVariant> found;
  for (;;) {
    KILN_ASSIGN_OR_RETURN(bool more, row.step());
    if (!more) return found;
    BlobVariant variant;
    KILN_ASSIGN_OR_RETURN(variant.blob, content::parse_descriptor(row.text(0)));
    variant.diff_id = Digest::trusted(std::string(row.text(1)));
    variant.variant = row.text(2);
    variant.local = row.integer(3) != 0;
    found.push_back(std::move(variant));
  }
}

Result<std::vector<BlobRow>> Records::local_blobs() {
  KILN_ASSIGN_OR_RETURN(
      db::Statement row,
      database_->prepare("SELECT b.tree, b.digest, b.size FROM tree_blob b JOIN tree t ON t.id = b.tree "
                         "WHERE b.local ORDER BY t.rowid"));
  std::vector<BlobRow> found;
  for (;;) {
    KILN_ASSIGN_OR_RETURN(bool more, row.step());
    if (!more) return found;
    found.push_back({std::string(row.text(0)), std::string(row.text(1)), row.integer(2)});
  }
}

Status Records::hold_blob(std::string_view id, const Digest& blob, std::int64_t size) {
  return database_->run("INSERT OR IGNORE INTO tree_blob VALUES(?1, ?2, '', '', '', ?3, 1)", id, blob.str(), size);
}

Status Records::hold_for_owner(std::string_view owner, const Digest& blob) {
  return database_->run("INSERT OR IGNORE INTO blob_owner VALUES(?1, ?2)", owner, blob.str());
}

Result<std::vector<std::string>> Records::release_owner(std::string_view owner) {
  std::vector<std::string> blobs;
  Status done = database_->write([&](db::Database& db) -> Status {
    KILN_ASSIGN_OR_RETURN(blobs, strings("SELECT digest FROM blob_owner WHERE owner = ?1", owner));
    KILN_RETURN_IF_ERROR(db.run("DELETE FROM blob_owner WHERE owner = ?1", owner));
    return keep_unnamed(db, blobs);
  });
  if (!done.ok()) return done;
  return blobs;
}

Status Records::forget_owners() { return database_->run("DELETE FROM blob_owner"); }

Result<bool> Records::names_blob(const Digest& blob) { return blob_is_named(*database_, blob.str()); }

Status Records::set_attribute(std::string_view id, std::string_view key, std::string_view value,
                              std::string_view index_key) {
  return database_->run("INSERT OR REPLACE INTO tree_attribute VALUES(?1, ?2, ?3, ?4)", id, key, value, index_key);
}

Result<std::optional<std::string>> Records::attribute(std::string_view id, std::string_view key) {
  KILN_ASSIGN_OR_RETURN(db::Statement row,
                        database_->prepare("SELECT value FROM tree_attribute WHERE tree = ?1 AND key = ?2"));
  KILN_RETURN_IF_ERROR(row.bind(id, key));
  KILN_ASSIGN_OR_RETURN(bool found, row.step());
  return found ? std::optional(std::string(row.text(0))) : std::nullopt;
}

Result<std::vector<std::string>> Records::find_by_index(std::string_view index_key, bool is_mutable) {
  return strings(is_mutable
                     ? "SELECT DISTINCT t.id FROM tree_attribute a JOIN tree t ON t.id = a.tree WHERE a.index_key = ?1 "
                       "AND a.index_key <> '' AND t.mutable ORDER BY max(t.last_used, t.created) DESC"
                     : "SELECT DISTINCT t.id FROM tree_attribute a JOIN tree t ON t.id = a.tree WHERE a.index_key = ?1 "
                       "AND a.index_key <> '' AND NOT t.mutable ORDER BY t.rowid DESC",
                 index_key);
}

}  // namespace kiln::store
