// The daemon's own keys and records, in its SQLite database. Survives restarts; a fault of the
// database is a miss and a log line.
//
//   database migrations: append kRecordMigrations; then
//   DbRecordStore records(db);
//
// Tables: docs/formats/cache.md.
#pragma once

#include <string>
#include <vector>

#include "cache/record_store.h"
#include "db/database.h"

namespace kiln::cache {

// The schema, for db::DatabaseOptions::migrations.
std::vector<std::string> record_migrations();

// Any thread. The database must outlive it.
class DbRecordStore final : public RecordStore, public Batched {
 public:
  explicit DbRecordStore(db::Database& database) : db_(database) {}

  std::vector<KeyId> targets(const KeyId& from, const Link& link) const override;
  bool knows(const KeyId& key) const override;
  std::vector<Record> records(const KeyId& key) const override;
  void add_record(const KeyId& key, const Record& record) override;
  void add_link(const KeyId& from, const Link& link, const KeyId& to) override;
  std::vector<Backlink> backlinks(const KeyId& key) const override;
  void forget(const std::string& record_id) override;
  void batch(const std::function<void()>& body) override;

 private:
  Status sweep(std::vector<KeyId> suspects);
  db::Database& db_;
};

}  // namespace kiln::cache
