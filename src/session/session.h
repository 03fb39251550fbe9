// The clients that are attached to the daemon. A client opens one connection in which the roles are
// turned round: the daemon calls, the client answers with files, secrets, agents and logins. This
// header is the registry of those connections; what is asked through them stands beside it, one file
// a service (files.h, secrets.h, ssh.h, credentials.h, upload.h, client_content.h, export_target.h).
//
//   Sessions sessions;
//   sessions.attach(hello, http2::Connection::client());     // by the Session call of the daemon
//   KILN_ASSIGN_OR_RETURN(auto s, sessions.get(id, 5s, stop));   // a Solve may come first
//   SessionGroup group(sessions, [job] { return job->session_ids(); });
//
// Protocol: HTTP/2 without TLS and gRPC inside, carried by Control.Session (tunnel.h).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace kiln::http2 {
class Connection;
}

namespace kiln::session {

// What a client says of itself in the headers of its Session call.
struct Hello {
  std::string id;
  std::string name;
  std::string shared_key;         // names the client's machine and directory; trees are reused by it
  std::set<std::string> methods;  // lower case: "/moby.filesync.v1.filesync/diffcopy"
  bool batches = false;           // understands many file packets in one message (ours do)
  std::string door;               // where ours may be asked for files beside the tunnel; "" for none
  // Replaces the health check's interval and patience, at least a second; for tests of clients.
  std::optional<std::chrono::milliseconds> health_timeout;
};
// From header names (any case) and values. InvalidArgument without an id.
Result<Hello> parse_hello(const std::multimap<std::string, std::string>& headers);

// One attached client. Shared by everyone who talks to it; calls on a closed one give Unavailable.
// Any thread.
class Session {
 public:
  struct Connection;  // internal/connection.h
  explicit Session(Hello hello, std::unique_ptr<Connection> connection);
  ~Session();

  const std::string& id() const { return hello_.id; }
  const std::string& name() const { return hello_.name; }
  const std::string& shared_key() const { return hello_.shared_key; }
  const std::set<std::string>& methods() const { return hello_.methods; }
  // Whether the client offers the method, e.g. "/moby.filesync.v1.FileSync/DiffCopy" (any case).
  bool offers(std::string_view method) const;
  bool batches() const { return hello_.batches; }
  const std::string& door() const { return hello_.door; }
  bool closed() const;
  // Ends the connection: pending calls fail, the client's Session call ends. Not blocking.
  void close();
  // Called once when the connection has ended, perhaps at once. From any thread; must not block.
  void on_close(std::function<void()> callback);

  Connection& connection() { return *connection_; }

 private:
  Hello hello_;
  std::unique_ptr<Connection> connection_;
};

// All of them. Any thread. Owned by the daemon; closes every session when destroyed.
class Sessions {
 public:
  Sessions();
  ~Sessions();

  // Takes the daemon's end of a connection, which has begun or is about to. An older session of the same id is
  // replaced. A health check every 5 s closes it after two failures in a row (patience 15 s, or 1.5 times the last
  // answer). The session leaves the registry when it closes.
  Result<std::shared_ptr<Session>> attach(Hello hello, std::shared_ptr<http2::Connection> connection);
  // The session, waited for until `patience` is over (zero: no waiting); NotFound "no active session
  // for <id>" then. Whatever stands before the first ':' of `id` is not part of the name. Blocking.
  Result<std::shared_ptr<Session>> get(std::string_view id, std::chrono::milliseconds patience, std::stop_token stop);
  std::vector<std::shared_ptr<Session>> list();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The sessions that may serve one build or one step, in the order in which they are asked. The ids
// are asked for anew each time, because more clients may join a shared step. Cheap to copy; any
// thread.
class SessionGroup {
 public:
  using Ids = std::function<std::vector<std::string>()>;
  SessionGroup(Sessions& sessions, Ids ids) : sessions_(&sessions), ids_(std::move(ids)) {}  // sessions outlives it
  // Nobody.
  SessionGroup() = default;

  std::vector<std::string> ids() const { return ids_ ? ids_() : std::vector<std::string>(); }
  // Calls `use` with one session after the other (each waited for five seconds at most) until it
  // succeeds; else gives the last error, FailedPrecondition "no active sessions" when there was none.
  Status any(std::stop_token stop, const std::function<Status(Session&)>& use) const;
  // The session of this id, whether or not it is in the group.
  Result<std::shared_ptr<Session>> get(std::string_view id, std::stop_token stop) const;

 private:
  Sessions* sessions_ = nullptr;
  Ids ids_;
};

}  // namespace kiln::session
