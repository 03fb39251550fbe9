#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "base/log.h"
#include "http2/call.h"
#include "session/internal/connection.h"

namespace kiln::session {
namespace {

using Ticks = std::chrono::steady_clock;

constexpr const char* kCheck = "/grpc.health.v1.Health/Check";
constexpr auto kHealthInterval = std::chrono::milliseconds(5000);
constexpr auto kHealthPatience = std::chrono::milliseconds(15000);

// How the checks of one session go.
struct Health {
  std::weak_ptr<Session> session;
  std::chrono::milliseconds interval = kHealthInterval;
  std::chrono::milliseconds patience = kHealthPatience;
  int failures_allowed = 2;

  Ticks::time_point due;
  Ticks::duration last_took{};
  int failures = 0;
  std::shared_ptr<http2::Stream> running;  // the call under way, due to be answered by then
};

}  // namespace

struct Sessions::State : std::enable_shared_from_this<Sessions::State> {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions;
  std::shared_ptr<host::Poller> poller = std::make_shared<host::Poller>();
  std::vector<std::shared_ptr<Health>> healths;
  std::uint64_t healths_changed = 0;
  std::jthread health_thread;  // started by the first session

  void watch_health(std::stop_token stop);
  void check(const std::shared_ptr<Health>& health);
  void checked(const std::shared_ptr<Health>& health, const std::shared_ptr<http2::Stream>& call,
               Ticks::time_point began);
};

void Sessions::State::watch_health(std::stop_token stop) {
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    auto gone = [](const std::shared_ptr<Health>& health) { return health->session.expired(); };
    healths.erase(std::remove_if(healths.begin(), healths.end(), gone), healths.end());
    auto now = Ticks::now();
    auto next = now + std::chrono::hours(1);
    std::vector<std::shared_ptr<Health>> due;
    for (auto& health : healths) {
      if (health->due <= now) {
        health->due = now + std::max<Ticks::duration>(health->patience, health->last_took * 3 / 2);
        due.push_back(health);
      } else {
        next = std::min(next, health->due);
      }
    }
    if (!due.empty()) {
      lock.unlock();
      for (auto& health : due) check(health);
      lock.lock();
      continue;
    }
    std::uint64_t known = healths_changed;
    changed.wait_until(lock, stop, next, [&] { return healths_changed != known; });
  }
}

// Begins a check, or ends one that was not answered in time.
void Sessions::State::check(const std::shared_ptr<Health>& health) {
  std::shared_ptr<Session> session = health->session.lock();
  if (!session) return;
  std::shared_ptr<http2::Stream> late;
  {
    std::lock_guard lock(mutex);
    late = health->running;
  }
  if (late) return late->reset(http2::kCancel);
  auto call = session->connection().calls->open(http2::request_fields(kCheck, {}, health->patience));
  {
    std::lock_guard lock(mutex);
    health->running = call;
  }
  call->write(http2::message_head(0), {}, http2::Flush::kLater);
  call->end();
  call->on_change([weak = weak_from_this(), health, raw = std::weak_ptr(call), began = Ticks::now()] {
    auto state = weak.lock();
    auto ended = raw.lock();
    if (state && ended && ended->ended()) state->checked(health, ended, began);
  });
}

void Sessions::State::checked(const std::shared_ptr<Health>& health, const std::shared_ptr<http2::Stream>& call,
                              Ticks::time_point began) {
  const http2::Outcome outcome = http2::outcome_of(*call);
  std::shared_ptr<Session> session = health->session.lock();
  bool fatal = false;
  {
    std::lock_guard lock(mutex);
    if (health->running != call) return;  // told twice
    health->running.reset();
    health->last_took = Ticks::now() - began;
    health->due = Ticks::now() + health->interval;
    health->failures = outcome.code == 0 ? 0 : health->failures + 1;
    fatal = health->failures >= health->failures_allowed;
    if (fatal) healths.erase(std::remove(healths.begin(), healths.end(), health), healths.end());
    ++healths_changed;  // the watcher computed its next waking without this one
  }
  changed.notify_all();
  if (!session || session->closed() || outcome.code == 0) return;
  if (fatal) {
    log_error("session {}: health check failed fatally: {}", session->id(), outcome.message);
    session->close();
  } else {
    log_warn("session {}: health check failed: {}", session->id(), outcome.message);
  }
}

Sessions::Sessions() : state_(std::make_shared<State>()) {}

Sessions::~Sessions() {
  for (auto& session : list()) session->close();
  std::jthread thread;
  {
    std::lock_guard lock(state_->mutex);
    thread = std::move(state_->health_thread);
  }
  thread.request_stop();
  // Joined here: the thread uses the state without owning it.
}

Result<std::shared_ptr<Session>> Sessions::attach(Hello hello, std::shared_ptr<http2::Connection> calls) {
  auto connection = std::make_unique<Session::Connection>();
  connection->calls = std::move(calls);
  connection->poller = state_->poller;
  auto health = std::make_shared<Health>();
  if (hello.health_timeout) {
    health->interval = health->patience = *hello.health_timeout;
    health->failures_allowed = 1;
  }
  health->due = Ticks::now() + health->interval;

  auto session = std::make_shared<Session>(std::move(hello), std::move(connection));
  health->session = session;
  std::shared_ptr<Session> replaced;
  {
    std::lock_guard lock(state_->mutex);
    replaced = std::exchange(state_->sessions[session->id()], session);
    state_->healths.push_back(std::move(health));
    ++state_->healths_changed;
    if (!state_->health_thread.joinable()) {
      state_->health_thread = std::jthread([state = state_.get()](std::stop_token stop) { state->watch_health(stop); });
    }
  }
  state_->changed.notify_all();
  if (replaced) replaced->close();
  session->on_close([weak = std::weak_ptr<State>(state_), raw = session.get(), id = session->id()] {
    auto state = weak.lock();
    if (!state) return;
    std::shared_ptr<Session> dropped;  // destroyed outside the lock
    std::lock_guard lock(state->mutex);
    auto it = state->sessions.find(id);
    if (it != state->sessions.end() && it->second.get() == raw) {
      dropped = std::move(it->second);
      state->sessions.erase(it);
    }
  });
  return session;
}

Result<std::shared_ptr<Session>> Sessions::get(std::string_view id, std::chrono::milliseconds patience,
                                               std::stop_token stop) {
  if (std::size_t colon = id.find(':'); colon != std::string_view::npos && colon + 1 < id.size()) {
    id.remove_prefix(colon + 1);
  }
  std::unique_lock lock(state_->mutex);
  std::shared_ptr<Session> found;
  auto look = [&] {
    auto it = state_->sessions.find(id);
    if (it != state_->sessions.end() && !it->second->closed()) found = it->second;
    return found != nullptr;
  };
  state_->changed.wait_for(lock, stop, patience, look);
  if (found) return found;
  if (stop.stop_requested()) return cancelled();
  return user_error(Code::kNotFound, fmt::format("no active session for {}", id));
}

std::vector<std::shared_ptr<Session>> Sessions::list() {
  std::lock_guard lock(state_->mutex);
  std::vector<std::shared_ptr<Session>> out;
  for (auto& [id, session] : state_->sessions) out.push_back(session);
  return out;
}

}  // namespace kiln::session
