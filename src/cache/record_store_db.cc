#include "cache/record_store_db.h"

#include "base/log.h"

namespace kiln::cache {
namespace {

std::int64_t to_ns(Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}
Time from_ns(std::int64_t ns) { return Time(std::chrono::duration_cast<Time::duration>(std::chrono::nanoseconds(ns))); }

// Rows of a query as values; a fault is told once and ends the rows.
template <typename Row, typename Read, typename... Args>
std::vector<Row> rows(db::Database& db, std::string_view sql, const Read& read, const Args&... args) {
  std::vector<Row> out;
  auto work = [&]() -> Status {
    KILN_ASSIGN_OR_RETURN(auto statement, db.prepare(sql));
    KILN_RETURN_IF_ERROR(statement.bind(args...));
    while (true) {
      KILN_ASSIGN_OR_RETURN(bool more, statement.step());
      if (!more) return ok();
      out.push_back(read(statement));
    }
  };
  if (Status status = work(); !status.ok()) log_warn("cache records: {}", message_of(status));
  return out;
}

void warn_unless_ok(const Status& status) {
  if (!status.ok()) log_warn("cache records: {}", message_of(status));
}

std::string text_at(const db::Statement& row, int column) { return std::string(row.text(column)); }

}  // namespace

std::vector<std::string> record_migrations() {
  return {R"sql(
    CREATE TABLE key_link(from_key TEXT NOT NULL, input INTEGER NOT NULL, out_key TEXT NOT NULL,
      selector TEXT NOT NULL, to_key TEXT NOT NULL,
      PRIMARY KEY(from_key, input, out_key, selector, to_key)) WITHOUT ROWID;
    CREATE INDEX key_link_to ON key_link(to_key);
    CREATE TABLE key_record(key TEXT NOT NULL, record TEXT NOT NULL, created INTEGER NOT NULL,
      PRIMARY KEY(key, record)) WITHOUT ROWID;
    CREATE INDEX key_record_record ON key_record(record);
  )sql"};
}

std::vector<KeyId> DbRecordStore::targets(const KeyId& from, const Link& link) const {
  return rows<KeyId>(
      db_, "SELECT to_key FROM key_link WHERE from_key=?1 AND input=?2 AND out_key=?3 AND selector=?4",
      [](const db::Statement& row) { return text_at(row, 0); }, from, link.input, link.out_key, link.selector);
}

bool DbRecordStore::knows(const KeyId& key) const {
  auto one = [](const db::Statement&) { return 1; };
  return !rows<int>(db_, "SELECT 1 FROM key_record WHERE key=?1 LIMIT 1", one, key).empty() ||
         !rows<int>(db_, "SELECT 1 FROM key_link WHERE from_key=?1 LIMIT 1", one, key).empty();
}

std::vector<Record> DbRecordStore::records(const KeyId& key) const {
  return rows<Record>(
      db_, "SELECT record, created FROM key_record WHERE key=?1 ORDER BY created DESC",
      [](const db::Statement& row) {
        return Record{text_at(row, 0), from_ns(row.integer(1))};
      },
      key);
}

void DbRecordStore::add_record(const KeyId& key, const Record& record) {
  warn_unless_ok(
      db_.run("INSERT OR REPLACE INTO key_record VALUES(?1, ?2, ?3)", key, record.id, to_ns(record.created)));
}

void DbRecordStore::add_link(const KeyId& from, const Link& link, const KeyId& to) {
  warn_unless_ok(db_.run("INSERT OR IGNORE INTO key_link VALUES(?1, ?2, ?3, ?4, ?5)", from, link.input, link.out_key,
                         link.selector, to));
}

std::vector<Backlink> DbRecordStore::backlinks(const KeyId& key) const {
  return rows<Backlink>(
      db_, "SELECT from_key, input, out_key, selector FROM key_link WHERE to_key=?1",
      [](const db::Statement& row) {
        return Backlink{text_at(row, 0), {static_cast<int>(row.integer(1)), text_at(row, 2), text_at(row, 3)}};
      },
      key);
}

// Removes keys that hold nothing and lead nowhere, and then those that led only to them.
Status DbRecordStore::sweep(std::vector<KeyId> suspects) {
  while (!suspects.empty()) {
    KeyId key = std::move(suspects.back());
    suspects.pop_back();
    if (knows(key)) continue;
    for (const auto& back : backlinks(key)) suspects.push_back(back.from);
    KILN_RETURN_IF_ERROR(db_.run("DELETE FROM key_link WHERE to_key=?1", key));
  }
  return ok();
}

void DbRecordStore::forget(const std::string& record_id) {
  warn_unless_ok(db_.write([&](db::Database& db) -> Status {
    auto keys = rows<KeyId>(
        db, "SELECT key FROM key_record WHERE record=?1", [](const db::Statement& row) { return text_at(row, 0); },
        record_id);
    KILN_RETURN_IF_ERROR(db.run("DELETE FROM key_record WHERE record=?1", record_id));
    return sweep(std::move(keys));
  }));
}

void DbRecordStore::batch(const std::function<void()>& body) {
  warn_unless_ok(db_.write([&](db::Database&) {
    body();
    return ok();
  }));
}

}  // namespace kiln::cache
