// The trace of one build, made from its events: a span for the build, for each step of its life (the
// frontend, the export), for each step of the graph, for what a step tells as counted phases (pulls,
// pushes, unpacking), and for the time a step that could have run waited for its turn.
//
//   BuildTrace trace(ref, request.trace_parent);
//   { auto scope = trace.scope("ask the frontend"); … }      // a step of the build's life
//   std::vector<Span> spans = trace.finish(status);
//
// A view: it changes nothing. What does not fit the limit is left out and counted in the build's span.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "event/event.h"
#include "observe/span.h"

namespace kiln::observe {

// Any thread.
class BuildTrace final : public event::EventSink {
 public:
  // `trace_parent` of whoever asked for the build; "" begins a new trace.
  BuildTrace(const std::string& ref, const std::string& trace_parent, Clock& clock = system_clock());

  const std::string& trace_id() const { return root_.trace_id; }
  // For what the build starts elsewhere.
  TraceParent parent() const { return {root_.trace_id, root_.span_id}; }

  void on(const event::Vertex& vertex) override;
  void on(const event::VertexStatus& status) override;
  void on(const event::VertexLog& log) override;
  void on(const event::VertexWarning& warning) override;

  // A step of the build's life, until the scope ends. Scopes do not nest.
  class Scope {
   public:
    Scope(BuildTrace& trace, std::string name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    BuildTrace& trace_;
    Span span_;
  };

  // A span that somebody else made of this trace: the client's.
  void add(Span span);
  // Everything so far, the build's own span first. The build has ended with `status`.
  std::vector<Span> finish(const Status& status);

 private:
  struct Step {
    std::string span_id;
    std::optional<Time> completed;
    bool told = false;  // its completion
  };
  void add_locked(Span span);
  Step& step_locked(const Digest& digest);
  Span child(const std::string& parent_id, std::string name, Time start, Time end) const;

  Clock& clock_;
  Span root_;
  std::mutex mutex_;
  std::unordered_map<Digest, Step> steps_;
  std::vector<Span> spans_;
  std::int64_t dropped_ = 0;
};

}  // namespace kiln::observe
