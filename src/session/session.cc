#include "session/session.h"

#include "base/text.h"
#include "session/internal/connection.h"
#include "session/internal/direct_door.h"
#include "session/internal/packet_pipe.h"

namespace kiln::session {

Result<Hello> parse_hello(const std::multimap<std::string, std::string>& headers) {
  Hello hello;
  for (const auto& [raw_name, value] : headers) {
    std::string name = to_lower(raw_name);
    if (name == "x-docker-expose-session-uuid") hello.id = value;
    if (name == "x-docker-expose-session-name") hello.name = value;
    if (name == "x-docker-expose-session-sharedkey") hello.shared_key = value;
    if (name == "x-docker-expose-session-grpc-method") hello.methods.insert(to_lower(value));
    if (name == internal::kBatchHeader) hello.batches = value == "1";
    if (name == internal::kDirectHeader) hello.door = value;
    if (name == "x-buildkit-session-health-custom-timeout" && !value.empty() && value.size() < 10 &&
        value.find_first_not_of("0123456789") == std::string::npos) {
      auto wanted = std::chrono::milliseconds(std::stol(value));
      if (wanted.count() > 0) hello.health_timeout = std::max(wanted, std::chrono::milliseconds(1000));
    }
  }
  if (hello.id.empty()) {
    return user_error(Code::kInvalidArgument, "a session needs an id in the header 'X-Docker-Expose-Session-Uuid'");
  }
  return hello;
}

Session::Session(Hello hello, std::unique_ptr<Connection> connection)
    : hello_(std::move(hello)), connection_(std::move(connection)) {}

Session::~Session() { close(); }

bool Session::offers(std::string_view method) const { return hello_.methods.count(to_lower(method)) > 0; }

bool Session::closed() const {
  std::lock_guard lock(connection_->mutex);
  return connection_->closed;
}

void Session::close() {
  std::vector<std::function<void()>> callbacks;
  {
    std::lock_guard lock(connection_->mutex);
    if (connection_->closed) return;
    connection_->closed = true;
    callbacks.swap(connection_->close_callbacks);
  }
  connection_->calls->end(cancelled("the session was closed"));
  for (auto& callback : callbacks) callback();
}

void Session::on_close(std::function<void()> callback) {
  {
    std::lock_guard lock(connection_->mutex);
    if (!connection_->closed) {
      connection_->close_callbacks.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

Status SessionGroup::any(std::stop_token stop, const std::function<Status(Session&)>& use) const {
  Status last = user_error(Code::kFailedPrecondition, "no active sessions");
  if (!sessions_) return last;
  for (const std::string& id : ids()) {
    if (stop.stop_requested()) return cancelled();
    Result<std::shared_ptr<Session>> session = sessions_->get(id, std::chrono::seconds(5), stop);
    last = session.ok() ? use(**session) : session.status();
    if (last.ok()) return last;
    if (stop.stop_requested()) return cancelled();
  }
  return last;
}

Result<std::shared_ptr<Session>> SessionGroup::get(std::string_view id, std::stop_token stop) const {
  if (!sessions_) return user_error(Code::kFailedPrecondition, "no active sessions");
  return sessions_->get(id, std::chrono::seconds(5), stop);
}

}  // namespace kiln::session
