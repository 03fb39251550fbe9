// What a build's record gets after the client has its answer: why its steps were not found, and its
// trace. Done by one thread, so that no build waits for it.
//
//   afterwords.announce(ref);                 // before the record is told of: finalize() waits from now
//   history.completed(record);
//   afterwords.add({.build = build, .status = status});
//
// The trace stays open for three seconds, because clients hand over their own spans when they end;
// History::finalize ends the wait.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/builds.h"
#include "history/history.h"
#include "history/miss_book.h"
#include "observe/metrics.h"
#include "observe/span.h"

namespace kiln::daemon {

// Port: takes finished spans away, to a collector. Called by one thread at a time; may block for some
// seconds; a failure is its own to log. Exists because tests look at spans without a network.
class SpanExporter {
 public:
  virtual ~SpanExporter() = default;
  virtual void send(const std::vector<observe::Span>& spans) = 0;
};

struct AfterwordsOptions {
  history::History* history = nullptr;
  history::MissBook* book = nullptr;    // null: misses are not explained
  observe::Metrics* metrics = nullptr;  // may be null
  SpanExporter* exporter = nullptr;     // null: spans stay here
  Duration trace_patience = std::chrono::seconds(3);
};

// Any thread. The destructor writes what is outstanding, without patience.
class Afterwords {
 public:
  explicit Afterwords(AfterwordsOptions options);
  ~Afterwords();

  void announce(const std::string& ref);
  struct Ended {
    std::shared_ptr<RunningBuild> build;
    Status status;
    bool recorded = true;  // false: only its spans are of interest
  };
  void add(Ended ended);

  // Waits until the runs of all builds added so far are remembered, so that a miss is compared with
  // them. Returns at once when nothing is outstanding.
  void settle();
  history::MissReport explain(const event::CacheMiss& miss, const std::vector<Digest>& ran);

  // A client's span: kept with the build of its trace if that ended lately (false: it did not), and
  // sent on.
  bool add_span(const observe::Span& span);
  void send(std::vector<observe::Span> spans);

 private:
  struct Waiting {
    Ended ended;
    std::vector<history::MissReport> reports;
    std::chrono::steady_clock::time_point due;
  };
  void work(std::stop_token stop);
  void remember(Waiting& one);
  void write(Waiting& one);
  Status write_record(Waiting& one, std::vector<observe::Span> spans);

  AfterwordsOptions options_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Waiting> fresh_;    // runs not yet remembered
  std::deque<Waiting> waiting_;  // for late spans
  std::vector<observe::Span> outgoing_;
  int remembering_ = 0;
  std::jthread thread_;
};

}  // namespace kiln::daemon
