#include "solve/solver.h"

#include <condition_variable>
#include <future>
#include <mutex>

#include "solve/internal/loop.h"

namespace kiln::solve {

// A graph may be one chain of many thousand vertices: its destruction must not recurse.
Vertex::~Vertex() {
  std::vector<std::shared_ptr<const Vertex>> stack;
  for (auto& input : inputs) stack.push_back(std::move(input.vertex));
  while (!stack.empty()) {
    auto vertex = std::move(stack.back());
    stack.pop_back();
    if (!vertex || vertex.use_count() > 1) continue;
    for (auto& input : const_cast<Vertex&>(*vertex).inputs) stack.push_back(std::move(input.vertex));
  }
}

Job::Job(std::shared_ptr<Loop> loop, std::uint64_t id, std::shared_ptr<JobEvents> events)
    : loop_(std::move(loop)), id_(id), events_(std::move(events)) {}

Job::~Job() {
  events_->close();
  loop_->post([loop = loop_, id = id_] { loop->close_job(id); });
}

void Job::solve(const Edge& edge, std::function<void(Result<Solved>)> done) {
  solve_again(edge, nullptr, std::move(done));
}

void Job::solve_again(const Edge& edge, OutputRef lost, std::function<void(Result<Solved>)> done) {
  Request request{loop_->next_id(), id_, std::move(done), std::move(lost)};
  loop_->post(
      [loop = loop_, edge, request = std::move(request)]() mutable { loop->request(edge, std::move(request)); });
}

Result<Solved> Job::solve(const Edge& edge, std::stop_token stop) {
  return solve_again(edge, nullptr, std::move(stop));
}

Result<Solved> Job::solve_again(const Edge& edge, OutputRef lost, std::stop_token stop) {
  struct Answer {
    std::mutex mutex;
    std::condition_variable ready;
    std::optional<Result<Solved>> value;
  };
  auto answer = std::make_shared<Answer>();
  Request request{loop_->next_id(), id_,
                  [answer](Result<Solved> value) {
                    std::lock_guard lock(answer->mutex);
                    answer->value = std::move(value);
                    answer->ready.notify_all();
                  },
                  std::move(lost)};
  std::uint64_t request_id = request.id;
  loop_->post(
      [loop = loop_, edge, request = std::move(request)]() mutable { loop->request(edge, std::move(request)); });
  std::stop_callback on_stop(stop,
                             [&] { loop_->post([loop = loop_, request_id] { loop->cancel_request(request_id); }); });
  std::unique_lock lock(answer->mutex);
  answer->ready.wait(lock, [&] { return answer->value.has_value(); });
  return *std::move(answer->value);
}

void Job::add_import(CacheSource source) {
  loop_->post([loop = loop_, id = id_, source = std::move(source)] { loop->add_import(id, source); });
}

void Job::add_session(const std::string& id) { loop_->sessions().add(id_, id); }

std::vector<KnownOutput> Job::known() {
  auto answer = std::make_shared<std::promise<std::vector<KnownOutput>>>();
  auto ready = answer->get_future();
  loop_->post([loop = loop_, id = id_, answer] { answer->set_value(loop->known(id)); });
  return ready.get();
}

void Job::cancel() {
  loop_->post([loop = loop_, id = id_] { loop->cancel_job(id); });
}

Solver::Solver(SolverOptions options) : loop_(std::make_shared<Loop>(std::move(options))) {}
Solver::~Solver() = default;

std::shared_ptr<Job> Solver::new_job(JobOptions options) {
  std::uint64_t id = loop_->next_id();
  auto events = std::make_shared<JobEvents>(options.sink, options.misses);
  for (const auto& session : options.sessions) loop_->sessions().add(id, session);
  loop_->post(
      [loop = loop_, id, events, imports = std::move(options.imports)] { loop->open_job(id, events, imports); });
  return std::make_shared<Job>(loop_, id, events);
}

std::size_t Solver::live_steps() const { return loop_->live_steps(); }

}  // namespace kiln::solve
