#include "db/database.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <unordered_map>

#include "base/check.h"
#include "base/id.h"
#include "base/log.h"

namespace kiln::db {
namespace {

constexpr int kCachedStatementsMax = 128;

Code code_of(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_CONSTRAINT:
      return sqlite_code == SQLITE_CONSTRAINT_UNIQUE || sqlite_code == SQLITE_CONSTRAINT_PRIMARYKEY
                 ? Code::kAlreadyExists
                 : Code::kFailedPrecondition;
    case SQLITE_FULL: return Code::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Code::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Code::kUnavailable;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY: return Code::kPermissionDenied;
    default: return Code::kInternal;
  }
}

bool is_corruption(const Status& status) { return status.code() == Code::kDataLoss; }

Status sqlite_error(int code, std::string_view message, std::string_view what) {
  Fault fault =
      code_of(code) == Code::kInternal || (code & 0xff) == SQLITE_CONSTRAINT ? Fault::kEngine : Fault::kEnvironment;
  if ((code & 0xff) == SQLITE_FULL) {
    return make_error(fault, code_of(code),
                      "database: no space left on the disk of the state directory; prune, or free some");
  }
  return make_error(fault, code_of(code), fmt::format("database: {}: {}", what, message));
}

void move_aside(const std::string& path) {
  std::string aside = fmt::format("{}.corrupt-{}", path, new_id());
  std::rename(path.c_str(), aside.c_str());
  std::remove((path + "-wal").c_str());
  std::remove((path + "-shm").c_str());
  log_warn("database '{}' is corrupt; moved to '{}' and begun anew", path, aside);
}

}  // namespace

struct Database::State {
  sqlite3* connection = nullptr;
  std::string path;
  std::recursive_mutex lock;
  std::unordered_multimap<std::string, sqlite3_stmt*> idle;  // compiled, reset, not lent out
  int transaction_depth = 0;
  bool transaction_failed = false;
  bool recovered = false;

  ~State() {
    for (auto& [sql, statement] : idle) sqlite3_finalize(statement);
    if (connection) sqlite3_close_v2(connection);
  }

  Status exec(const char* sql) {
    char* message = nullptr;
    int code = sqlite3_exec(connection, sql, nullptr, nullptr, &message);
    if (code == SQLITE_OK) return ok();
    std::string text = message ? message : sqlite3_errstr(code);
    sqlite3_free(message);
    return sqlite_error(sqlite3_extended_errcode(connection), text, sql);
  }

  Result<std::string> value_of(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    int code = sqlite3_prepare_v2(connection, sql, -1, &statement, nullptr);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    std::string value;
    if (code == SQLITE_ROW) {
      if (auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0))) value = text;
    }
    sqlite3_finalize(statement);
    if (code == SQLITE_ROW || code == SQLITE_DONE) return value;
    return sqlite_error(sqlite3_extended_errcode(connection), sqlite3_errmsg(connection), sql);
  }

  // Whether looking through the whole file is worth its time (some 10 ms a MiB): it is small, or the
  // last owner did not close it.
  bool should_check() const {
    constexpr off_t kQuickBytes = 2 << 20;
    struct stat info;
    if (::stat((path + "-wal").c_str(), &info) == 0 && info.st_size > 0) return true;
    return ::stat(path.c_str(), &info) != 0 || info.st_size <= kQuickBytes;
  }

  Status connect(int busy_timeout_ms) {
    const bool check_pages = should_check();
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int code = sqlite3_open_v2(path.c_str(), &connection, flags, nullptr);
    if (code != SQLITE_OK) return sqlite_error(code, sqlite3_errstr(code), fmt::format("open '{}'", path));
    sqlite3_extended_result_codes(connection, 1);
    sqlite3_busy_timeout(connection, busy_timeout_ms);
    // Nobody else opens it: the index of the log is kept in memory, and no statement asks for file locks.
    KILN_RETURN_IF_ERROR(exec("PRAGMA locking_mode=EXCLUSIVE"));
    KILN_RETURN_IF_ERROR(exec("PRAGMA journal_mode=WAL"));
    KILN_RETURN_IF_ERROR(exec("PRAGMA synchronous=NORMAL"));
    KILN_RETURN_IF_ERROR(exec("PRAGMA foreign_keys=ON"));
    KILN_RETURN_IF_ERROR(exec("PRAGMA temp_store=MEMORY"));
    KILN_RETURN_IF_ERROR(exec("PRAGMA mmap_size=268435456"));
    // Beside the map above, for what stands in the log only: a megabyte, or a daemon would grow by all that it
    // ever wrote.
    KILN_RETURN_IF_ERROR(exec("PRAGMA cache_size=-1024"));
    KILN_RETURN_IF_ERROR(exec("PRAGMA journal_size_limit=67108864"));
    if (!check_pages) return ok();
    KILN_ASSIGN_OR_RETURN(std::string check, value_of("PRAGMA quick_check(1)"));
    if (check != "ok") return environment_error(Code::kDataLoss, fmt::format("database '{}': {}", path, check));
    return ok();
  }

  void disconnect() {
    if (connection) sqlite3_close_v2(connection);
    connection = nullptr;
  }

  Status migrate(const std::vector<std::string>& migrations) {
    KILN_ASSIGN_OR_RETURN(std::string text, value_of("PRAGMA user_version"));
    std::size_t version = text.empty() ? 0 : std::strtoul(text.c_str(), nullptr, 10);
    if (version > migrations.size()) {
      return environment_error(
          Code::kFailedPrecondition,
          fmt::format("database '{}' was written by a newer version (schema {}, known {}); use that version or move "
                      "the file away",
                      path, version, migrations.size()));
    }
    for (std::size_t i = version; i < migrations.size(); ++i) {
      std::string sql = fmt::format("BEGIN IMMEDIATE; {}; PRAGMA user_version={}; COMMIT", migrations[i], i + 1);
      if (Status status = exec(sql.c_str()); !status.ok()) {
        (void)exec("ROLLBACK");
        return annotate(status, fmt::format("migration {} of '{}'", i + 1, path));
      }
    }
    return ok();
  }
};

Statement::Statement(Database* owner, sqlite3_stmt* statement, std::string sql,
                     std::unique_lock<std::recursive_mutex> lock)
    : owner_(owner), statement_(statement), sql_(std::move(sql)), lock_(std::move(lock)) {}

Statement::Statement(Statement&& other) noexcept
    : owner_(other.owner_),
      statement_(std::exchange(other.statement_, nullptr)),
      sql_(std::move(other.sql_)),
      lock_(std::move(other.lock_)) {}

Statement::~Statement() {
  if (!statement_) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  auto& idle = owner_->state_->idle;
  if (idle.size() < kCachedStatementsMax) {
    idle.emplace(std::move(sql_), statement_);
  } else {
    sqlite3_finalize(statement_);
  }
}

Status Statement::bind_at(int index, std::int64_t value) {
  int code = sqlite3_bind_int64(statement_, index, value);
  return code == SQLITE_OK ? ok() : owner_->last_error(code, sql_);
}

Status Statement::bind_at(int index, double value) {
  int code = sqlite3_bind_double(statement_, index, value);
  return code == SQLITE_OK ? ok() : owner_->last_error(code, sql_);
}

Status Statement::bind_at(int index, std::string_view value) {
  const char* data = value.data() ? value.data() : "";
  int code = sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return code == SQLITE_OK ? ok() : owner_->last_error(code, sql_);
}

Status Statement::bind_at(int index, std::nullptr_t) {
  int code = sqlite3_bind_null(statement_, index);
  return code == SQLITE_OK ? ok() : owner_->last_error(code, sql_);
}

Status Statement::bind_blob(int index, std::string_view bytes) {
  const char* data = bytes.data() ? bytes.data() : "";
  int code = sqlite3_bind_blob64(statement_, index, data, bytes.size(), SQLITE_TRANSIENT);
  return code == SQLITE_OK ? ok() : owner_->last_error(code, sql_);
}

Result<bool> Statement::step() {
  int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return owner_->last_error(code, sql_);
}

Status Statement::run() {
  while (true) {
    KILN_ASSIGN_OR_RETURN(bool row, step());
    if (!row) return ok();
  }
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string_view Statement::text(int column) const {
  auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  int size = sqlite3_column_bytes(statement_, column);
  return data ? std::string_view(data, static_cast<std::size_t>(size)) : std::string_view();
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Transaction::Transaction(Database* owner, std::unique_lock<std::recursive_mutex> lock, bool outermost)
    : owner_(owner), lock_(std::move(lock)), outermost_(outermost) {}

Transaction::Transaction(Transaction&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), lock_(std::move(other.lock_)), outermost_(other.outermost_) {}

Transaction::~Transaction() {
  if (!owner_) return;
  auto& state = *owner_->state_;
  --state.transaction_depth;
  if (outermost_) {
    if (sqlite3_get_autocommit(state.connection) == 0) (void)state.exec("ROLLBACK");
    state.transaction_failed = false;
  } else {
    state.transaction_failed = true;  // an inner part gave up: the outer must not commit half of it
  }
}

Status Transaction::commit() {
  KILN_CHECK(owner_ != nullptr);
  auto& state = *owner_->state_;
  if (!outermost_) {
    --state.transaction_depth;
    owner_ = nullptr;
    lock_.unlock();
    return ok();
  }
  if (state.transaction_failed) return engine_error("database: commit after a part of the transaction was rolled back");
  KILN_RETURN_IF_ERROR(state.exec("COMMIT"));
  --state.transaction_depth;
  owner_ = nullptr;
  lock_.unlock();
  return ok();
}

Database::Database(std::unique_ptr<State> state) : state_(std::move(state)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(DatabaseOptions options) {
  auto state = std::make_unique<State>();
  state->path = options.path;
  Status status = state->connect(options.busy_timeout_ms);
  if (status.ok()) status = state->migrate(options.migrations);
  if (is_corruption(status) && options.path != ":memory:") {
    state->disconnect();
    move_aside(options.path);
    state->recovered = true;
    status = state->connect(options.busy_timeout_ms);
    if (status.ok()) status = state->migrate(options.migrations);
  }
  KILN_RETURN_IF_ERROR(status);
  return std::unique_ptr<Database>(new Database(std::move(state)));
}

Status Database::last_error(int code, std::string_view what) const {
  int extended = sqlite3_extended_errcode(state_->connection);
  if ((extended & 0xff) != (code & 0xff)) extended = code;
  return sqlite_error(extended, sqlite3_errmsg(state_->connection), what);
}

Result<Statement> Database::prepare(std::string_view sql) {
  std::unique_lock lock(state_->lock);
  std::string key(sql);
  if (auto it = state_->idle.find(key); it != state_->idle.end()) {
    sqlite3_stmt* statement = it->second;
    state_->idle.erase(it);
    return Statement(this, statement, std::move(key), std::move(lock));
  }
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v3(state_->connection, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                &statement, nullptr);
  if (code != SQLITE_OK) return last_error(code, sql);
  if (!statement) return engine_error(fmt::format("database: empty statement '{}'", sql));
  return Statement(this, statement, std::move(key), std::move(lock));
}

Status Database::execute_script(const std::string& sql) {
  std::unique_lock lock(state_->lock);
  return state_->exec(sql.c_str());
}

Result<Transaction> Database::begin() {
  std::unique_lock lock(state_->lock);
  bool outermost = state_->transaction_depth == 0;
  if (outermost) {
    KILN_RETURN_IF_ERROR(run("BEGIN IMMEDIATE"));
    state_->transaction_failed = false;
  }
  ++state_->transaction_depth;
  return Transaction(this, std::move(lock), outermost);
}

Status Database::write(const std::function<Status(Database&)>& work) {
  KILN_ASSIGN_OR_RETURN(Transaction transaction, begin());
  KILN_RETURN_IF_ERROR(work(*this));
  return transaction.commit();
}

std::int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(state_->connection); }
std::int64_t Database::changes() const { return sqlite3_changes64(state_->connection); }

Status Database::checkpoint() {
  std::unique_lock lock(state_->lock);
  int code = sqlite3_wal_checkpoint_v2(state_->connection, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  return code == SQLITE_OK ? ok() : last_error(code, "checkpoint");
}

bool Database::was_recovered() const { return state_->recovered; }

}  // namespace kiln::db
