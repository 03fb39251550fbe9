#include "solve/internal/loop.h"

#include "base/log.h"

namespace kiln::solve {

void SessionBook::add(std::uint64_t job, const std::string& session) {
  std::lock_guard lock(mutex_);
  auto& list = sessions_[job];
  if (std::find(list.begin(), list.end(), session) == list.end()) list.push_back(session);
}

void SessionBook::remove(std::uint64_t job) {
  std::lock_guard lock(mutex_);
  sessions_.erase(job);
}

std::vector<std::string> SessionBook::of(const std::vector<std::uint64_t>& jobs) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (auto job : jobs) {
    if (auto it = sessions_.find(job); it != sessions_.end())
      out.insert(out.end(), it->second.begin(), it->second.end());
  }
  return out;
}

void Loop::post(std::function<void()> message) {
  {
    std::lock_guard lock(inbox_mutex_);
    inbox_.push_back(std::move(message));
    if (draining_) return;
    draining_ = true;
  }
  options_.spawner->spawn([self = shared_from_this()] { self->drain(); });
}

void Loop::drain() {
  while (true) {
    std::deque<std::function<void()>> batch;
    {
      std::lock_guard lock(inbox_mutex_);
      if (inbox_.empty()) {
        draining_ = false;
        return;
      }
      batch.swap(inbox_);
    }
    for (auto& message : batch) {
      message();
      settle();
    }
  }
}

void Loop::settle() {
  while (!agenda_.empty() || !unwanted_.empty()) {
    auto& list = agenda_.empty() ? unwanted_ : agenda_;
    bool advancing = &list == &agenda_;
    auto [step, edge] = std::move(list.front());
    list.pop_front();
    if (advancing) {
      edge->queued = false;
      advance(*edge);
    } else if (!edge->wanted()) {
      abandon(*edge);
    }
  }
}

void Loop::open_job(std::uint64_t id, std::shared_ptr<JobEvents> events, std::vector<CacheSource> imports) {
  JobState& job = jobs_[id];
  job.id = id;
  job.events = std::move(events);
  for (auto& source : imports) add_import(id, std::move(source));
}

void Loop::add_import(std::uint64_t job, CacheSource source) {
  auto it = jobs_.find(job);
  if (it == jobs_.end()) return;
  SourceId id = next_id();
  sources_[id] = std::move(source);
  it->second.imports.push_back(id);
}

void Loop::request(const Edge& edge, Request request) {
  auto job = jobs_.find(request.job);
  if (job == jobs_.end()) {
    options_.spawner->spawn([done = std::move(request.done)] { done(cancelled("the build has ended")); });
    return;
  }
  if (!edge.vertex) {
    options_.spawner->spawn([done = std::move(request.done)] { done(Solved{}); });
    return;
  }
  auto step = load(job->second, edge.vertex);
  EdgeState& state = step->edge(edge.output);
  if (request.lost) (void)make_anew(state, request.lost);
  requests_[request.id] = &state;
  state.requests.push_back(std::move(request));
  queue(state);
}

void Loop::cancel_request(std::uint64_t request_id) {
  auto it = requests_.find(request_id);
  if (it == requests_.end()) return;
  EdgeState& edge = *it->second;
  requests_.erase(it);
  for (auto& request : edge.requests) {
    if (request.id != request_id) continue;
    options_.spawner->spawn([done = std::move(request.done)] { done(cancelled()); });
  }
  std::erase_if(edge.requests, [&](const Request& r) { return r.id == request_id; });
  reconsider(edge);
}

void Loop::cancel_job(std::uint64_t job) {
  std::vector<std::uint64_t> mine;
  for (const auto& [id, edge] : requests_) {
    for (const auto& request : edge->requests) {
      if (request.id == id && request.job == job) mine.push_back(id);
    }
  }
  for (auto id : mine) cancel_request(id);
}

std::vector<KnownOutput> Loop::known(std::uint64_t id) const {
  std::vector<KnownOutput> out;
  auto job = jobs_.find(id);
  if (job == jobs_.end()) return out;
  for (const auto& step : job->second.steps) {
    for (const auto& [output, edge] : step->edges) {
      out.push_back({step->vertex->digest, output, edge->result, edge->keys_in(kOwn)});
    }
  }
  return out;
}

void Loop::close_job(std::uint64_t id) {
  auto it = jobs_.find(id);
  if (it == jobs_.end()) return;
  cancel_job(id);
  settle();
  JobState& job = it->second;
  while (!job.steps.empty()) {
    auto step = std::move(job.steps.back());
    job.steps.pop_back();
    step->jobs.erase(id);
    step->serving.erase(id);
    step->events->remove(job.events);
    if (!step->jobs.empty()) continue;
    auto entry = steps_.find(step->vertex->digest);
    if (entry != steps_.end() && entry->second == step) steps_.erase(entry);
  }
  for (auto source : job.imports) sources_.erase(source);
  sessions_.remove(id);
  jobs_.erase(it);
  live_steps_ = steps_.size();
}

Status with_vertex(const Status& status, const Digest& vertex) {
  if (status.ok() || get_detail(status, kVertexDetail)) return status;
  Status out = status;
  set_detail(out, kVertexDetail, vertex.str());
  return out;
}

}  // namespace kiln::solve
