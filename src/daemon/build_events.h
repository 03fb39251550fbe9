// Where everything that happens in one build is told: its status log, its trace, and what its misses
// were made of. One sink for the solver and the build's own steps.
//
//   BuildEvents events(log, request);
//   events.on(vertex);
//   { auto scope = events.trace().scope("…"); }
//
// A build that asks for explanations (build argument KILN_EXPLAIN) reads in each step's log why the
// step runs.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "daemon/status_log.h"
#include "event/event.h"
#include "event/miss.h"
#include "history/miss_reason.h"
#include "observe/build_trace.h"

namespace kiln::daemon {

// Explains a miss beside the vertices that ran before in the same build.
using Explain = std::function<history::MissReport(const event::CacheMiss&, const std::vector<Digest>& ran)>;

// Any thread.
class BuildEvents final : public event::EventSink, public event::MissSink {
 public:
  BuildEvents(std::shared_ptr<StatusLog> log, const std::string& ref, const std::string& trace_parent)
      : log_(std::move(log)), trace_(ref, trace_parent) {}

  // Before the build begins: reasons go into the steps' logs as the steps begin.
  void explain_in_log(Explain explain) { explain_ = std::move(explain); }

  void on(const event::Vertex& vertex) override;
  void on(const event::VertexStatus& status) override;
  void on(const event::VertexLog& log) override;
  void on(const event::VertexWarning& warning) override;
  void on(const event::CacheMiss& miss) override;

  observe::BuildTrace& trace() { return trace_; }

  // What ran, in order; those that succeeded are told from those that did not.
  struct Misses {
    std::vector<event::CacheMiss> all;
    std::set<Digest> failed;
  };
  // Once, after the build has ended.
  Misses take_misses();

 private:
  void tell_reason(const event::CacheMiss& miss, const std::vector<Digest>& ran);

  std::shared_ptr<StatusLog> log_;
  observe::BuildTrace trace_;
  Explain explain_;
  std::mutex mutex_;
  std::vector<event::CacheMiss> misses_;
  std::set<Digest> failed_;
};

}  // namespace kiln::daemon
