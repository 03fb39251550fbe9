#include <fcntl.h>
#include <fmt/format.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "base/log.h"
#include "session/callback_threads.h"
#include "session/internal/call.h"
#include "session/internal/connection.h"
#include "session/windows.h"
#include "wire/health.grpc.pb.h"

namespace kiln::session {
namespace {

using Ticks = std::chrono::steady_clock;

constexpr auto kHealthInterval = std::chrono::milliseconds(5000);
constexpr auto kHealthPatience = std::chrono::milliseconds(15000);

// A check under way; answered by a callback of gRPC, perhaps after the session went.
struct Check {
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
  std::unique_ptr<grpc::health::v1::Health::Stub> stub;
};

// How the checks of one session go.
struct Health {
  std::weak_ptr<Session> session;
  std::chrono::milliseconds interval = kHealthInterval;
  std::chrono::milliseconds patience = kHealthPatience;
  int failures_allowed = 2;

  Ticks::time_point due;
  Ticks::duration last_took{};
  int failures = 0;
  bool running = false;
};

}  // namespace

struct Sessions::State : std::enable_shared_from_this<Sessions::State> {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions;
  std::shared_ptr<internal::Poller> poller = std::make_shared<internal::Poller>();
  std::vector<std::shared_ptr<Health>> healths;
  std::uint64_t healths_changed = 0;
  std::jthread health_thread;  // started by the first session

  void watch_health(std::stop_token stop);
  void check(const std::shared_ptr<Health>& health);
  void checked(const std::shared_ptr<Health>& health, Ticks::time_point began, const grpc::Status& status);
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
      if (health->running) continue;
      if (health->due <= now) {
        health->running = true;
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

void Sessions::State::check(const std::shared_ptr<Health>& health) {
  std::shared_ptr<Session> session = health->session.lock();
  if (!session) return;
  auto call = std::make_shared<Check>();
  call->stub = grpc::health::v1::Health::NewStub(internal::channel_of(*session));
  auto patience = std::max<Ticks::duration>(health->patience, health->last_took * 3 / 2);
  call->context.set_deadline(std::chrono::system_clock::now() +
                             std::chrono::duration_cast<std::chrono::system_clock::duration>(patience));
  auto began = Ticks::now();
  Check* raw = call.get();
  raw->stub->async()->Check(&raw->context, &raw->request, &raw->response,
                            [weak = weak_from_this(), health, call, began](grpc::Status status) {
                              if (auto state = weak.lock()) state->checked(health, began, status);
                            });
}

void Sessions::State::checked(const std::shared_ptr<Health>& health, Ticks::time_point began,
                              const grpc::Status& status) {
  std::shared_ptr<Session> session = health->session.lock();
  bool fatal = false;
  {
    std::lock_guard lock(mutex);
    health->running = false;
    health->last_took = Ticks::now() - began;
    health->due = Ticks::now() + health->interval;
    health->failures = status.ok() ? 0 : health->failures + 1;
    fatal = health->failures >= health->failures_allowed;
    if (fatal) healths.erase(std::remove(healths.begin(), healths.end(), health), healths.end());
    ++healths_changed;  // the watcher computed its next waking without this one
  }
  changed.notify_all();
  if (!session || session->closed() || status.ok()) return;
  if (fatal) {
    log_error("session {}: health check failed fatally: {}", session->id(), status.error_message());
    session->close();
  } else {
    log_warn("session {}: health check failed: {}", session->id(), status.error_message());
  }
}

Sessions::Sessions() : state_(std::make_shared<State>()) { hold_callback_threads(); }

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

std::shared_ptr<internal::Poller> Sessions::poller() { return state_->poller; }

Result<std::shared_ptr<Session>> Sessions::attach(Hello hello, host::Fd socket) {
  auto connection = std::make_unique<Session::Connection>();
  connection->poller = state_->poller;
  KILN_ASSIGN_OR_RETURN(connection->socket, socket.duplicate());
  fcntl(socket.get(), F_SETFL, fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 16 << 20);
  use_fixed_windows(arguments);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  connection->channel = grpc::CreateCustomInsecureChannelFromFd("localhost", socket.release(), arguments);

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
