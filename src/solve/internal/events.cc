#include "solve/internal/events.h"

#include <algorithm>

#include "event/error_text.h"

namespace kiln::solve {
namespace {

// Enough of a step's output for somebody who joins late; the whole is kept by the history.
constexpr std::size_t kReplayBytes = 256 * 1024;

}  // namespace

void JobEvents::close() {
  std::lock_guard lock(mutex_);
  sink_ = nullptr;
  misses_ = nullptr;
}

// A step that began proves its inputs ready: those never told as completed were not needed,
// because something after them came from the cache.
void JobEvents::mark_inputs_cached(const event::Vertex& vertex) {
  std::vector<Digest> stack(vertex.inputs.begin(), vertex.inputs.end());
  while (!stack.empty()) {
    Digest digest = std::move(stack.back());
    stack.pop_back();
    auto it = seen_.find(digest);
    if (it == seen_.end() || it->second.cached || it->second.completed) continue;
    event::Vertex& input = it->second;
    input.cached = true;
    input.started = input.completed = vertex.started;
    stack.insert(stack.end(), input.inputs.begin(), input.inputs.end());
    sink_->on(input);
  }
}

void JobEvents::tell_locked(const event::Vertex& vertex) {
  seen_[vertex.digest] = vertex;
  if (vertex.started) mark_inputs_cached(vertex);
  sink_->on(vertex);
}

void JobEvents::vertex(const event::Vertex& vertex) {
  std::lock_guard lock(mutex_);
  if (sink_) tell_locked(vertex);
}
void JobEvents::status(const event::VertexStatus& status) {
  std::lock_guard lock(mutex_);
  if (sink_) sink_->on(status);
}
void JobEvents::log(const event::VertexLog& log) {
  std::lock_guard lock(mutex_);
  if (sink_) sink_->on(log);
}
void JobEvents::warn(const event::VertexWarning& warning) {
  std::lock_guard lock(mutex_);
  if (sink_) sink_->on(warning);
}

void JobEvents::missed(const event::CacheMiss& miss) {
  std::lock_guard lock(mutex_);
  if (misses_) misses_->on(miss);
}

StepEvents::StepEvents(const Vertex& vertex) {
  vertex_.digest = vertex.digest;
  vertex_.name = vertex.name;
  vertex_.group = vertex.group;
  for (const auto& input : vertex.inputs) {
    if (input.vertex) vertex_.inputs.push_back(input.vertex->digest);
  }
}

void StepEvents::add(std::shared_ptr<JobEvents> job) {
  std::lock_guard lock(mutex_);
  job->vertex(vertex_);
  for (const auto& [id, status] : statuses_) job->status(status);
  for (const auto& log : logs_) job->log(log);
  for (const auto& warning : warnings_) job->warn(warning);
  jobs_.push_back(std::move(job));
}

void StepEvents::remove(const std::shared_ptr<JobEvents>& job) {
  std::lock_guard lock(mutex_);
  std::erase(jobs_, job);
}

void StepEvents::add_follower(std::shared_ptr<StepEvents> follower) {
  std::lock_guard lock(mutex_);
  followers_.push_back(std::move(follower));
}

void StepEvents::tell_vertex_locked() {
  for (const auto& job : jobs_) job->vertex(vertex_);
}

void StepEvents::started(Cached cached) {
  std::lock_guard lock(mutex_);
  vertex_.started = system_clock().now();
  vertex_.completed.reset();
  vertex_.cached = cached == Cached::kYes;
  vertex_.error.clear();
  tell_vertex_locked();
}

void StepEvents::completed(Cached cached, const Status& status) {
  std::lock_guard lock(mutex_);
  vertex_.completed = system_clock().now();
  if (!vertex_.started) vertex_.started = vertex_.completed;
  vertex_.cached = cached == Cached::kYes;
  vertex_.error = event::error_text(status);
  tell_vertex_locked();
}

void StepEvents::missed(const event::CacheMiss& miss) {
  std::lock_guard lock(mutex_);
  for (const auto& job : jobs_) job->missed(miss);
}

void StepEvents::log(event::LogStream stream, std::string_view data) {
  std::lock_guard lock(mutex_);
  event::VertexLog entry{vertex_.digest, stream, system_clock().now(), std::string(data)};
  for (const auto& job : jobs_) job->log(entry);
  for (const auto& follower : followers_) follower->log(stream, data);
  if (log_bytes_ + data.size() > kReplayBytes) return;
  log_bytes_ += data.size();
  logs_.push_back(std::move(entry));
}

void StepEvents::status(event::VertexStatus status) {
  std::lock_guard lock(mutex_);
  status.vertex = vertex_.digest;
  for (const auto& job : jobs_) job->status(status);
  for (const auto& follower : followers_) follower->status(status);
  statuses_[status.id] = std::move(status);
}

void StepEvents::warn(event::VertexWarning warning) {
  std::lock_guard lock(mutex_);
  warning.vertex = vertex_.digest;
  for (const auto& job : jobs_) job->warn(warning);
  for (const auto& follower : followers_) follower->warn(warning);
  warnings_.push_back(std::move(warning));
}

}  // namespace kiln::solve
