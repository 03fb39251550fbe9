#include "history/history.h"

#include <fmt/format.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "base/log.h"
#include "content/blob_store_file.h"
#include "db/database.h"
#include "history/filter.h"
#include "history/miss_book.h"
#include "host/fs.h"

namespace kiln::history {
namespace {

const std::vector<std::string> kMigrations = {
    // blob: which records name which blobs, so that the last one takes the blob along.
    "CREATE TABLE record (ref TEXT PRIMARY KEY, completed INTEGER NOT NULL, pinned INTEGER NOT NULL, bytes BLOB NOT "
    "NULL);"
    "CREATE TABLE blob (ref TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (ref, digest)) WITHOUT ROWID;"
    "CREATE INDEX blob_by_digest ON blob (digest);",
};

constexpr auto kProgressInterval = std::chrono::seconds(1);
// A blob that no record names is given this long to be named.
constexpr auto kOrphanAge = std::chrono::minutes(10);

std::set<std::string> blobs_of(const Record& record) {
  std::set<std::string> out;
  const auto add = [&](const std::optional<Descriptor>& d) {
    if (d) out.insert(d->digest);
  };
  add(record.logs);
  if (record.logs) {
    // What explains its misses is named beside the log.
    auto misses = record.logs->annotations.find(kMissesAnnotation);
    if (misses != record.logs->annotations.end()) out.insert(misses->second);
  }
  add(record.trace);
  add(record.external_error);
  out.insert(record.kept.begin(), record.kept.end());
  const auto add_info = [&](const ResultInfo& info) {
    for (const Descriptor& attestation : info.attestations) out.insert(attestation.digest);
  };
  if (record.result) add_info(*record.result);
  for (const auto& [platform, info] : record.results) add_info(info);
  return out;
}

std::int64_t nanos(Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

struct Listener {
  std::string ref;
  std::function<void(const Event&)> on_event;
};

struct Active {
  Record record;
  Time told{};
};

struct Finalizer {
  std::function<void()> flush;
  bool asked = false;
};

}  // namespace

struct History::State {
  HistoryOptions options;
  Clock* clock = nullptr;
  std::unique_ptr<db::Database> db;
  std::unique_ptr<content::FileBlobStore> blobs;

  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, Active> active;
  std::map<std::string, Finalizer> finalizers;
  std::set<std::string> doomed;  // to be removed when nobody listens to them any more
  std::set<std::string> ending;  // answered; the record is being written

  // Held while listeners are called; never taken under `mutex`.
  std::mutex listen_mutex;
  std::map<std::uint64_t, Listener> listeners;
  std::uint64_t next_listener = 1;

  void tell(const Event& event);
  void await_ending(const std::string& ref);
  Status store(const Record& record);
  Status erase(const std::string& ref);
  Result<std::vector<Event>> ended(const std::string& ref);
  Status drop_blobs(const std::vector<std::string>& digests);
};

void History::State::tell(const Event& event) {
  std::lock_guard lock(listen_mutex);
  for (auto& [id, listener] : listeners) {
    if (listener.ref.empty() || listener.ref == event.record.ref) listener.on_event(event);
  }
}

// Blocks until the record of `ref`, or of every build that is ending now when it is "", is written.
void History::State::await_ending(const std::string& ref) {
  std::unique_lock lock(mutex);
  std::set<std::string> awaited;
  if (ref.empty()) {
    awaited = ending;
  } else if (ending.contains(ref)) {
    awaited.insert(ref);
  }
  for (const std::string& one : awaited) changed.wait(lock, [&] { return !ending.contains(one); });
}

Status History::State::store(const Record& record) {
  return db->write([&](db::Database& d) -> Status {
    {
      KILN_ASSIGN_OR_RETURN(
          db::Statement row,
          d.prepare("INSERT OR REPLACE INTO record (ref, completed, pinned, bytes) VALUES (?1, ?2, ?3, ?4)"));
      KILN_RETURN_IF_ERROR(row.bind_at(1, record.ref));
      KILN_RETURN_IF_ERROR(row.bind_at(2, nanos(record.completed.value_or(record.created))));
      KILN_RETURN_IF_ERROR(row.bind_at(3, record.pinned));
      KILN_RETURN_IF_ERROR(row.bind_blob(4, encode_record(record)));
      KILN_RETURN_IF_ERROR(row.run());
    }
    for (const std::string& digest : blobs_of(record)) {
      KILN_RETURN_IF_ERROR(d.run("INSERT OR IGNORE INTO blob (ref, digest) VALUES (?1, ?2)", record.ref, digest));
    }
    return ok();
  });
}

Status History::State::drop_blobs(const std::vector<std::string>& digests) {
  for (const std::string& text : digests) {
    auto digest = Digest::parse(text);
    if (digest.ok()) KILN_RETURN_IF_ERROR(blobs->remove(*digest));
  }
  return ok();
}

Status History::State::erase(const std::string& ref) {
  std::vector<std::string> orphans;
  KILN_RETURN_IF_ERROR(db->write([&](db::Database& d) -> Status {
    {
      KILN_ASSIGN_OR_RETURN(db::Statement row,
                            d.prepare("SELECT digest FROM blob a WHERE ref = ?1 AND NOT EXISTS "
                                      "(SELECT 1 FROM blob b WHERE b.digest = a.digest AND b.ref <> ?1)"));
      KILN_RETURN_IF_ERROR(row.bind(ref));
      while (true) {
        KILN_ASSIGN_OR_RETURN(bool found, row.step());
        if (!found) break;
        orphans.emplace_back(row.text(0));
      }
    }
    KILN_RETURN_IF_ERROR(d.run("DELETE FROM blob WHERE ref = ?1", ref));
    return d.run("DELETE FROM record WHERE ref = ?1", ref);
  }));
  return drop_blobs(orphans);
}

Result<std::vector<Event>> History::State::ended(const std::string& ref) {
  std::vector<Event> out;
  // Two statements: one that serves both reads the whole table for a single record.
  KILN_ASSIGN_OR_RETURN(db::Statement row, db->prepare(ref.empty() ? "SELECT ref, bytes FROM record ORDER BY completed"
                                                                   : "SELECT ref, bytes FROM record WHERE ref = ?1"));
  if (!ref.empty()) KILN_RETURN_IF_ERROR(row.bind(ref));
  while (true) {
    KILN_ASSIGN_OR_RETURN(bool found, row.step());
    if (!found) return out;
    auto record = decode_record(row.text(1));
    if (!record.ok()) {
      log_warn("build record '{}' is skipped: {}", row.text(0), message_of(record.status()));
      continue;
    }
    out.push_back({EventKind::kComplete, std::move(record).value()});
  }
}

History::History(std::unique_ptr<State> state) : state_(std::move(state)) {}
History::~History() = default;

Result<std::unique_ptr<History>> History::open(HistoryOptions options) {
  auto state = std::make_unique<State>();
  state->clock = options.clock != nullptr ? options.clock : &system_clock();
  KILN_RETURN_IF_ERROR(host::make_dirs(options.root, 0711));
  KILN_ASSIGN_OR_RETURN(state->db,
                        db::Database::open({.path = options.root + "/history.db", .migrations = kMigrations}));
  KILN_ASSIGN_OR_RETURN(state->blobs, content::FileBlobStore::open(options.root + "/content"));
  state->options = std::move(options);
  return std::unique_ptr<History>(new History(std::move(state)));
}

void History::started(Record record) {
  Event event{EventKind::kStarted, std::move(record)};
  {
    std::lock_guard lock(state_->mutex);
    state_->active[event.record.ref] = {event.record, state_->clock->now()};
  }
  state_->tell(event);
}

void History::progress(const std::string& ref, const std::function<StepProgress()>& counts) {
  Event event;
  {
    std::lock_guard lock(state_->mutex);
    auto it = state_->active.find(ref);
    if (it == state_->active.end()) return;
    const Time now = state_->clock->now();
    if (now - it->second.told < kProgressInterval) return;
    it->second.told = now;
    Record& record = it->second.record;
    const StepProgress progress = counts();
    record.total_steps = progress.total;
    record.completed_steps = progress.completed;
    record.cached_steps = progress.cached;
    record.warnings = progress.warnings;
    event = {EventKind::kStarted, record};
  }
  state_->tell(event);
}

void History::await_endings() { state_->await_ending(""); }

void History::ending(const std::string& ref) {
  std::lock_guard lock(state_->mutex);
  state_->ending.insert(ref);
}

Status History::completed(Record record) {
  {
    std::lock_guard lock(state_->mutex);
    state_->active.erase(record.ref);
  }
  const Status stored = state_->store(record);
  {
    std::lock_guard lock(state_->mutex);
    state_->ending.erase(record.ref);
    state_->changed.notify_all();
  }
  KILN_RETURN_IF_ERROR(annotate(stored, "write the build's record"));
  state_->tell({EventKind::kComplete, std::move(record)});
  return ok();
}

Status History::update(const std::string& ref, const std::function<void(Record&)>& change) {
  state_->await_ending(ref);
  Record changed;
  KILN_RETURN_IF_ERROR(state_->db->write([&](db::Database&) -> Status {
    KILN_ASSIGN_OR_RETURN(std::optional<Record> record, find(ref));
    if (!record) {
      return user_error(Code::kNotFound, fmt::format("failed to retrieve ref {}: file does not exist", ref));
    }
    change(*record);
    ++record->generation;
    changed = std::move(*record);
    return state_->store(changed);
  }));
  state_->tell({EventKind::kComplete, std::move(changed)});
  return ok();
}

Status History::set_pinned(const std::string& ref, bool pinned) {
  return update(ref, [&](Record& record) { record.pinned = pinned; });
}

Status History::remove(const std::string& ref) {
  {
    std::lock_guard lock(state_->listen_mutex);
    for (const auto& [id, listener] : state_->listeners) {
      if (listener.ref != ref) continue;
      std::lock_guard doom(state_->mutex);
      state_->doomed.insert(ref);
      return ok();
    }
  }
  // What is still to be written for the record goes with it, instead of staying behind.
  KILN_RETURN_IF_ERROR(finalize(ref));
  KILN_ASSIGN_OR_RETURN(std::optional<Record> record, find(ref));
  KILN_RETURN_IF_ERROR(state_->erase(ref));
  if (!record) return user_error(Code::kNotFound, fmt::format("build record '{}' not found", ref));
  Record gone;
  gone.ref = ref;
  state_->tell({EventKind::kDeleted, std::move(gone)});
  return ok();
}

void History::set_finalizer(const std::string& ref, std::function<void()> flush) {
  std::lock_guard lock(state_->mutex);
  state_->finalizers[ref] = {std::move(flush), false};
}

void History::finalizer_done(const std::string& ref) {
  std::lock_guard lock(state_->mutex);
  state_->finalizers.erase(ref);
  state_->changed.notify_all();
}

Status History::finalize(const std::string& ref) {
  state_->await_ending(ref);
  std::unique_lock lock(state_->mutex);
  auto it = state_->finalizers.find(ref);
  if (it == state_->finalizers.end()) return ok();
  if (!std::exchange(it->second.asked, true)) {
    std::function<void()> flush = it->second.flush;
    lock.unlock();
    flush();
    lock.lock();
  }
  state_->changed.wait(lock, [&] { return !state_->finalizers.contains(ref); });
  return ok();
}

Result<std::optional<Record>> History::find(const std::string& ref) {
  state_->await_ending(ref);
  KILN_ASSIGN_OR_RETURN(db::Statement row, state_->db->prepare("SELECT bytes FROM record WHERE ref = ?1"));
  KILN_RETURN_IF_ERROR(row.bind(ref));
  KILN_ASSIGN_OR_RETURN(bool found, row.step());
  if (!found) return std::optional<Record>();
  KILN_ASSIGN_OR_RETURN(Record record, decode_record(row.text(0)));
  return std::optional<Record>(std::move(record));
}

Result<std::vector<Event>> History::list(const ListOptions& options) {
  state_->await_ending(options.ref);
  std::vector<Event> running;
  std::set<std::string> doomed;
  {
    std::lock_guard lock(state_->mutex);
    for (const auto& [ref, active] : state_->active) {
      if (options.ref.empty() || options.ref == ref) running.push_back({EventKind::kStarted, active.record});
    }
    doomed = state_->doomed;
  }
  std::vector<Event> ended;
  if (!options.active_only) {
    KILN_ASSIGN_OR_RETURN(ended, state_->ended(options.ref));
    std::erase_if(ended, [&](const Event& event) { return doomed.contains(event.record.ref); });
    KILN_ASSIGN_OR_RETURN(ended, select(std::move(ended), options.filters, options.limit, state_->clock->now()));
  }
  running.insert(running.end(), std::make_move_iterator(ended.begin()), std::make_move_iterator(ended.end()));
  return running;
}

std::uint64_t History::subscribe(const std::string& ref, std::function<void(const Event&)> on_event) {
  std::lock_guard lock(state_->listen_mutex);
  const std::uint64_t id = state_->next_listener++;
  state_->listeners.emplace(id, Listener{ref, std::move(on_event)});
  return id;
}

void History::unsubscribe(std::uint64_t id) {
  std::string ref;
  {
    std::lock_guard lock(state_->listen_mutex);
    auto it = state_->listeners.find(id);
    if (it == state_->listeners.end()) return;
    ref = it->second.ref;
    state_->listeners.erase(it);
  }
  bool remove_now = false;
  {
    std::lock_guard lock(state_->mutex);
    remove_now = state_->doomed.erase(ref) > 0;
  }
  if (!remove_now) return;
  // Still listened to by somebody else: remove() dooms it again.
  if (Status status = remove(ref); !status.ok() && !is_not_found(status))
    log_warn("remove build record '{}': {}", ref, message_of(status));
}

Result<Descriptor> History::write_blob(const std::string& media_type, ByteSource& bytes) {
  KILN_ASSIGN_OR_RETURN(auto writer, state_->blobs->ingest());
  KILN_RETURN_IF_ERROR(copy_stream(bytes, *writer).status());
  KILN_ASSIGN_OR_RETURN(content::BlobInfo info, writer->commit({}));
  return Descriptor{media_type, info.digest.str(), info.size, {}};
}

content::BlobStore& History::blobs() { return *state_->blobs; }

Status History::sweep() {
  const Time now = state_->clock->now();
  std::vector<std::string> old;
  {
    KILN_ASSIGN_OR_RETURN(db::Statement row,
                          state_->db->prepare("SELECT ref FROM (SELECT ref, completed FROM record WHERE pinned = 0 "
                                              "ORDER BY completed DESC LIMIT -1 OFFSET ?1) WHERE completed < ?2"));
    KILN_RETURN_IF_ERROR(row.bind(state_->options.entries_max,
                                  nanos(now - std::chrono::duration_cast<Time::duration>(state_->options.age_max))));
    while (true) {
      KILN_ASSIGN_OR_RETURN(bool found, row.step());
      if (!found) break;
      old.emplace_back(row.text(0));
    }
  }
  for (const std::string& ref : old) {
    if (Status status = remove(ref); !status.ok() && !is_not_found(status)) return status;
  }

  std::vector<std::string> orphans;
  KILN_RETURN_IF_ERROR(state_->blobs->walk([&](const content::BlobInfo& info) -> Status {
    if (now - info.created < kOrphanAge) return ok();
    KILN_ASSIGN_OR_RETURN(db::Statement row, state_->db->prepare("SELECT 1 FROM blob WHERE digest = ?1"));
    KILN_RETURN_IF_ERROR(row.bind(info.digest.str()));
    KILN_ASSIGN_OR_RETURN(bool named, row.step());
    if (!named) orphans.push_back(info.digest.str());
    return ok();
  }));
  return state_->drop_blobs(orphans);
}

}  // namespace kiln::history
