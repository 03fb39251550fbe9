// The builds that were: their records, logs, traces and provenance, kept for days; and the builds
// that are, as far as a list of builds tells of them. A view of events: it changes nothing.
//
//   KILN_ASSIGN_OR_RETURN(auto history, History::open({.root = root + "/history"}));
//   history->started(record);
//   … history->completed(record);
//   for (const Event& e : history->list({.filters = {"status==error"}, .limit = 10}).value()) …
//
// Disk: <root>/history.db (SQLite; the record as serialised BuildHistoryRecord), <root>/blobs (logs,
// errors, traces, attestations; a blob is removed with the last record that names it). See
// docs/formats/history.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/stream.h"
#include "content/blob_store.h"
#include "history/record.h"

namespace kiln::history {

struct HistoryOptions {
  std::string root;  // made when missing
  // A record goes when there are more than `entries_max` newer ones and it is older than `age_max`;
  // never while pinned.
  Duration age_max = std::chrono::hours(48);
  int entries_max = 50;
  Clock* clock = nullptr;  // null: the machine's
};

struct ListOptions {
  std::string ref;  // "" = all
  bool active_only = false;
  std::vector<std::string> filters;  // any of them: history/filter.h
  int limit = 0;                     // newest first; 0 = all, in the order of their ends
};

struct StepProgress {
  int total = 0;
  int completed = 0;
  int cached = 0;
  int warnings = 0;
};

// Any thread; calls block on the disk only.
class History {
 public:
  static Result<std::unique_ptr<History>> open(HistoryOptions options);
  ~History();

  // A build began: listeners are told; nothing is written.
  void started(Record record);
  // Something happened in a build that runs. Listeners are told at most once a second a build;
  // `counts` is asked only then.
  void progress(const std::string& ref, const std::function<StepProgress()>& counts);
  // A build is about to be answered, its record is written right after. Whoever asks for the record meanwhile
  // waits for it, so that a client finds what it built. Ends with completed().
  void ending(const std::string& ref);
  // Blocks until the record of every build that is ending now is written: what its description holds
  // (trees, blobs) is let go of only then.
  void await_endings();
  // A build ended: its record is written, listeners are told.
  Status completed(Record record);
  // A change to a written record ("trace has come"): generation grows, listeners are told. NotFound.
  Status update(const std::string& ref, const std::function<void(Record&)>& change);

  Status set_pinned(const std::string& ref, bool pinned);
  // Deferred while somebody listens to this very ref. NotFound when there is no such record.
  Status remove(const std::string& ref);

  // What a build still writes after its end (its trace). `flush` is called by finalize() and must
  // call done once everything is written; finalize waits for it.
  void set_finalizer(const std::string& ref, std::function<void()> flush);
  void finalizer_done(const std::string& ref);
  // Returns when nothing more will change the record; at once when nothing is outstanding.
  Status finalize(const std::string& ref);

  Result<std::optional<Record>> find(const std::string& ref);
  // Running builds first, then the ended. InvalidArgument for a filter that is not understood.
  Result<std::vector<Event>> list(const ListOptions& options);

  // Told of each later event, one at a time, from any thread; must not call back into History
  // except into unsubscribe's counterpart thread. `ref` "" means all; a ref listened to is not
  // removed meanwhile. After unsubscribe returns, no call is running.
  std::uint64_t subscribe(const std::string& ref, std::function<void(const Event&)> on_event);
  void unsubscribe(std::uint64_t id);

  // Stores bytes that a record will name; they live as long as records name them. Removed with the
  // next sweep but one when none ever does.
  Result<Descriptor> write_blob(const std::string& media_type, ByteSource& bytes);
  content::BlobStore& blobs();

  // Applies retention. Called by the daemon every two minutes and at start.
  Status sweep();

 private:
  struct State;
  explicit History(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Serialised moby.buildkit.v1.BuildHistoryRecord.
std::string encode_record(const Record& record);
Result<Record> decode_record(std::string_view bytes);

}  // namespace kiln::history
