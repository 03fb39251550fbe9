// Everything a build tells, in the order it was told, as frames ready for the wire: one log serves
// every watcher of the build, whenever he comes, and becomes the log of the record.
//
//   auto log = StatusLog::open(directory).value();
//   log->on(vertex);                                       // the build
//   StatusLog::Chunk chunk = log->read(cursor, 1 << 20);   // a watcher
//
// The frames lie in an unnamed file, not in memory. Format of the file, which is also that of a
// record's log blob: little-endian uint32 length, then a serialised moby.buildkit.v1.StatusResponse,
// repeated. Steps that write more than the limits allow are clipped here (BuildKit's wording).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "base/stream.h"
#include "content/blob_store.h"
#include "daemon/log_clip.h"
#include "event/event.h"

namespace kiln::daemon {

struct StepCounts {
  int total = 0;
  int completed = 0;
  int cached = 0;
  int warnings = 0;
};

// Any thread. Telling never blocks longer than a write to the page cache.
class StatusLog final : public event::EventSink {
 public:
  // `directory` holds the unnamed file; "" keeps the frames in memory (tests).
  static Result<std::shared_ptr<StatusLog>> open(const std::string& directory, LogLimits limits = {},
                                                 Clock& clock = system_clock());
  // The same in two parts, of which the first does not touch the disk: watchers may come after it, what
  // happens may be told after the second.
  static std::shared_ptr<StatusLog> make(LogLimits limits, Clock& clock);
  Status open_file(const std::string& directory);
  // The log of a build that ended, closed; null: nothing was kept.
  static std::shared_ptr<StatusLog> recorded(std::unique_ptr<content::BlobReader> frames);
  ~StatusLog() override;

  void on(const event::Vertex& vertex) override;
  void on(const event::VertexStatus& status) override;
  void on(const event::VertexLog& log) override;
  void on(const event::VertexWarning& warning) override;
  // Nothing is told after this. Watchers see the end once they have read everything.
  void close();

  // A StatusResponse; empty `frame`: nothing new. Pass `next` to the following read.
  struct Chunk {
    std::string frame;
    std::uint64_t next = 0;
    bool end = false;  // closed and nothing follows
  };
  Chunk read(std::uint64_t cursor);
  // Whether a whole frame lies at the cursor; what was told last may lie in none yet.
  bool has_frame(std::uint64_t cursor) const;
  // Whether read() would give something.
  bool has_news(std::uint64_t cursor) const;
  bool closed() const;

  // Calls `wake` from the telling thread, each time something was told or the log was closed, until it
  // gives false; must not block, nor watch or forget. Forget by the returned id; after forget() returns
  // no call is running.
  std::uint64_t watch(std::function<bool()> wake);
  void forget(std::uint64_t id);

  StepCounts counts() const;
  // The whole log, after close().
  std::unique_ptr<ByteSource> source();

 private:
  struct State;
  explicit StatusLog(std::unique_ptr<State> state);
  template <typename Append>
  void tell(Append append);
  void wake_watchers();
  std::unique_ptr<State> state_;
};

}  // namespace kiln::daemon
