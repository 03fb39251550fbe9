// SQLite as the daemon's one way to remember small facts: records, refs, leases, history rows.
// Stands on the ground band; every room that keeps metadata owns one file opened through here.
//
//   KILN_ASSIGN_OR_RETURN(auto db, db::Database::open({.path = root + "/cache.db", .migrations = kMigrations}));
//   KILN_ASSIGN_OR_RETURN(auto row, db->prepare("SELECT size FROM blob WHERE digest = ?1"));
//   KILN_RETURN_IF_ERROR(row.bind(digest.str())); KILN_ASSIGN_OR_RETURN(bool found, row.step());
//   KILN_RETURN_IF_ERROR(db->write([&](db::Database& d) { return d.run("DELETE FROM t WHERE k = ?1", key); }));
//
// Durability: WAL with synchronous=NORMAL. A killed process loses nothing; a power cut may lose the
// last transactions but never leaves a torn database. A file that turns out to be corrupt is moved
// aside as "<path>.corrupt-<id>" and an empty one takes its place: everything kept here can be made
// again or is missed as a cache miss.
//
// Threads: one connection guarded by a recursive lock. A live Statement and a live Transaction hold
// the lock, so keep both short and never wait for anything else while one is alive.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace kiln::db {

class Database;

// A prepared statement on loan from the database's cache; given back, reset, by the destructor.
// Used by the thread that prepared it. Parameters count from 1, columns from 0.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Binds the parameters ?1, ?2, … in order. Strings and blobs are copied by SQLite. Takes
  // integers, bool, double, string-like, Blob, nullptr and std::optional of these.
  template <typename... Args>
  Status bind(const Args&... args) {
    int index = 0;
    Status status;
    ((status = status.ok() ? bind_at(++index, args) : status), ...);
    return status;
  }
  Status bind_at(int index, std::int64_t value);
  Status bind_at(int index, int value) { return bind_at(index, static_cast<std::int64_t>(value)); }
  Status bind_at(int index, bool value) { return bind_at(index, static_cast<std::int64_t>(value)); }
  Status bind_at(int index, std::uint64_t value) { return bind_at(index, static_cast<std::int64_t>(value)); }
  Status bind_at(int index, double value);
  Status bind_at(int index, std::string_view value);
  Status bind_at(int index, const std::string& value) { return bind_at(index, std::string_view(value)); }
  Status bind_at(int index, const char* value) { return bind_at(index, std::string_view(value)); }
  Status bind_at(int index, std::nullptr_t);
  Status bind_blob(int index, std::string_view bytes);
  template <typename T>
  Status bind_at(int index, const std::optional<T>& value) {
    return value ? bind_at(index, *value) : bind_at(index, nullptr);
  }

  // Goes to the next row; false when there is none. Codes: AlreadyExists for a broken uniqueness,
  // FailedPrecondition for other constraints, ResourceExhausted when the disk is full, DataLoss when
  // the file is corrupt, Unavailable when another process holds the lock for too long.
  Result<bool> step();
  // Steps to the end; for statements without rows.
  Status run();
  // Ready to be bound and stepped again.
  void reset();

  // Of the current row; views live until the next step.
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string_view text(int column) const;  // also for blobs
  bool is_null(int column) const;

 private:
  friend class Database;
  Statement(Database* owner, sqlite3_stmt* statement, std::string sql, std::unique_lock<std::recursive_mutex> lock);
  Database* owner_;
  sqlite3_stmt* statement_;
  std::string sql_;
  std::unique_lock<std::recursive_mutex> lock_;
};

// BEGIN IMMEDIATE … COMMIT; rolled back by the destructor unless committed. Inside an open one on
// the same thread it joins: the outer commit decides.
class Transaction {
 public:
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  friend class Database;
  Transaction(Database* owner, std::unique_lock<std::recursive_mutex> lock, bool outermost);
  Database* owner_;
  std::unique_lock<std::recursive_mutex> lock_;
  bool outermost_;
};

struct DatabaseOptions {
  std::string path;  // ":memory:" for tests
  // Numbered from 1; each is run once, in its own transaction, and its number kept in user_version.
  // Append only: a released migration never changes.
  std::vector<std::string> migrations;
  int busy_timeout_ms = 10'000;
};

// Any thread. Statements and transactions must be gone before the database.
class Database {
 public:
  // Opens or makes the file (the folder must exist), recovers, migrates. FailedPrecondition when the
  // file was written by a newer program (its user_version is above the last migration).
  static Result<std::unique_ptr<Database>> open(DatabaseOptions options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The statement compiled once and cached by its text. Blocks while another thread has a live one.
  Result<Statement> prepare(std::string_view sql);
  // prepare, bind, run.
  template <typename... Args>
  Status run(std::string_view sql, const Args&... args) {
    KILN_ASSIGN_OR_RETURN(Statement statement, prepare(sql));
    KILN_RETURN_IF_ERROR(statement.bind(args...));
    return statement.run();
  }
  // Several statements separated by semicolons, uncached.
  Status execute_script(const std::string& sql);

  Result<Transaction> begin();
  // `work` inside one transaction: committed when it gives ok, rolled back otherwise.
  Status write(const std::function<Status(Database&)>& work);

  std::int64_t last_insert_id() const;
  std::int64_t changes() const;
  // Flushes the WAL into the file and syncs it.
  Status checkpoint();
  // True when open() found the file corrupt and began anew.
  bool was_recovered() const;

 private:
  friend class Statement;
  friend class Transaction;
  struct State;
  explicit Database(std::unique_ptr<State> state);
  Status last_error(int code, std::string_view what) const;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::db
