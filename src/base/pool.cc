#include "base/pool.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/log.h"

namespace kiln {

struct Pool::State {
  std::mutex mutex;
  std::condition_variable work;
  std::condition_variable quiet;
  std::deque<std::function<void()>> queue;
  int threads = 0;
  int idle = 0;
  int threads_max = 0;
  bool closing = false;
};

namespace {

void run_guarded(std::function<void()>& job) {
  try {
    job();
  } catch (const std::exception& e) {  // the pool's one catch-all
    log_error("engine fault: exception in a pool job: {}", e.what());
  } catch (...) {
    log_error("engine fault: unknown exception in a pool job");
  }
  job = nullptr;
}

template <typename State>
void work_loop(std::shared_ptr<State> s) {
  constexpr auto kIdleFor = std::chrono::seconds(10);
  std::unique_lock lock(s->mutex);
  while (true) {
    if (s->queue.empty()) {
      ++s->idle;
      s->quiet.notify_all();
      bool woken = s->work.wait_for(lock, kIdleFor, [&] { return !s->queue.empty() || s->closing; });
      --s->idle;
      if (s->queue.empty() && (s->closing || !woken)) break;
      if (s->queue.empty()) continue;
    }
    auto job = std::move(s->queue.front());
    s->queue.pop_front();
    lock.unlock();
    run_guarded(job);
    lock.lock();
  }
  --s->threads;
  s->quiet.notify_all();
}

}  // namespace

Pool::Pool(int threads_max) : state_(std::make_shared<State>()) { state_->threads_max = threads_max; }

Pool::~Pool() {
  std::unique_lock lock(state_->mutex);
  state_->closing = true;
  state_->work.notify_all();
  state_->quiet.wait(lock, [&] { return state_->threads == 0; });
}

void Pool::submit(std::function<void()> job) {
  std::lock_guard lock(state_->mutex);
  state_->queue.push_back(std::move(job));
  if (state_->idle >= static_cast<int>(state_->queue.size()) || state_->threads >= state_->threads_max) {
    state_->work.notify_one();
    return;
  }
  ++state_->threads;
  std::thread(work_loop<State>, state_).detach();
}

void Pool::drain() {
  std::unique_lock lock(state_->mutex);
  state_->quiet.wait(lock, [&] { return state_->queue.empty() && state_->idle == state_->threads; });
}

}  // namespace kiln
