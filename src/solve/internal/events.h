// How a step's events reach the builds that hold it.
//
// StepEvents belongs to a step: it tells every watching build, keeps what it told, and replays it
// to builds that join late. JobEvents belongs to a build: it guards the build's sink, and marks
// steps that a cached dependent made unnecessary as cached, as clients expect.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "event/event.h"
#include "solve/op.h"

namespace kiln::solve {

// Any thread. After close() the sink is not called again.
class JobEvents {
 public:
  JobEvents(event::EventSink* sink, event::MissSink* misses) : sink_(sink), misses_(misses) {}
  void close();
  void vertex(const event::Vertex& vertex);
  void status(const event::VertexStatus& status);
  void log(const event::VertexLog& log);
  void warn(const event::VertexWarning& warning);
  void missed(const event::CacheMiss& miss);

 private:
  void tell_locked(const event::Vertex& vertex);
  void mark_inputs_cached(const event::Vertex& vertex);

  std::mutex mutex_;
  event::EventSink* sink_;
  event::MissSink* misses_;
  std::map<Digest, event::Vertex> seen_;
};

// Any thread.
class StepEvents final : public event::Reporter {
 public:
  explicit StepEvents(const Vertex& vertex);
  // Replays what happened so far.
  void add(std::shared_ptr<JobEvents> job);
  void remove(const std::shared_ptr<JobEvents>& job);
  // Events of this step are told to the other step's watchers too, under its own digest.
  void add_follower(std::shared_ptr<StepEvents> follower);

  enum class Cached { kNo, kYes };
  void started(Cached cached);
  void completed(Cached cached, const Status& status);
  // Why it runs; not replayed to who joins later.
  void missed(const event::CacheMiss& miss);

  void log(event::LogStream stream, std::string_view data) override;
  void status(event::VertexStatus status) override;
  void warn(event::VertexWarning warning) override;

 private:
  void tell_vertex_locked();

  std::mutex mutex_;
  event::Vertex vertex_;
  std::vector<std::shared_ptr<JobEvents>> jobs_;
  std::vector<std::shared_ptr<StepEvents>> followers_;
  std::map<std::string, event::VertexStatus> statuses_;
  std::vector<event::VertexLog> logs_;
  std::size_t log_bytes_ = 0;
  std::vector<event::VertexWarning> warnings_;
};

}  // namespace kiln::solve
