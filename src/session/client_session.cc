#include "session/client_session.h"

#include <fmt/format.h>

#include <atomic>
#include <list>
#include <mutex>
#include <thread>

#include "base/id.h"
#include "http2/connection.h"
#include "session/internal/direct_door.h"
#include "session/internal/nested_carrier.h"
#include "session/internal/packet_pipe.h"
#include "session/internal/serve.h"
#include "session/tunnel.h"

namespace kiln::session {
namespace {

using internal::Answer;
using internal::Metadata;

// Answers the calls of a session, each in a thread. Any thread.
class Answering {
 public:
  // Before the first call.
  void add(std::string method, Answer answer) { answers_.emplace(std::move(method), std::move(answer)); }

  void start(std::shared_ptr<http2::Stream> stream) {
    auto call = std::make_shared<http2::ServedCall>(std::move(stream));
    auto answer = answers_.find(call->method());
    if (answer == answers_.end()) {
      Status unknown = user_error(Code::kUnimplemented, fmt::format("unknown method {}", call->method()));
      return call->finish(internal::to_outcome(unknown));
    }
    std::lock_guard lock(mutex_);
    std::erase_if(running_, [](Running& one) { return one.done.load(); });
    if (closing_) return;
    Running& one = running_.emplace_back();
    one.thread = std::jthread([&answer = answer->second, &one, call = std::move(call)]() mutable {
      answer(std::move(call));
      one.done = true;
    });
  }
  // Waits for all of them; no more are started.
  void finish() {
    std::list<Running> running;
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
      running.swap(running_);
    }
  }

 private:
  struct Running {
    std::atomic<bool> done{false};
    std::jthread thread;
  };
  std::map<std::string, Answer> answers_;
  std::mutex mutex_;
  bool closing_ = false;
  std::list<Running> running_;
};

class TunnelledSession final : public ClientSession {
 public:
  TunnelledSession(std::string id, Offers offers) : id_(std::move(id)), offers_(std::move(offers)) {}
  ~TunnelledSession() override { close(); }

  void start(http2::Connection& daemon, const std::string& name, const std::string& shared_key) {
    Metadata metadata = {{"x-docker-expose-session-uuid", id_},
                         {"x-docker-expose-session-name", name},
                         {"x-docker-expose-session-sharedkey", shared_key},
                         {internal::kBatchHeader, "1"}};
    serve(metadata);
    open_door(metadata);
    connection_ = http2::Connection::server(
        [answering = answering_](std::shared_ptr<http2::Stream> stream) { answering->start(std::move(stream)); });
    auto stream = daemon.open(http2::request_fields(kSessionMethod, metadata, {}));
    internal::carry_nested(
        stream, connection_, [stream] { stream->end(); },
        [stream, state = state_] {
          std::lock_guard lock(state->mutex);
          state->ended = internal::to_status(http2::outcome_of(*stream));
        });
  }

  const std::string& id() const override { return id_; }

  void close() override {
    if (!connection_) return;
    stop_.request_stop();
    connection_->end(cancelled("the session was closed"));
    answering_->finish();
    door_.reset();
    connection_.reset();
  }

  std::optional<Status> ended() const override {
    std::lock_guard lock(state_->mutex);
    return state_->ended;
  }

 private:
  struct State {
    std::mutex mutex;
    std::optional<Status> ended;
  };

  void serve(Metadata& metadata) {
    std::stop_token stop = stop_.get_token();
    if (offers_.agents) poller_ = std::make_shared<host::Poller>();
    internal::Served all[] = {
        internal::serve_health(),
        internal::serve_file_sync(offers_, stop),
        internal::serve_file_send(offers_, stop),
        internal::serve_auth(offers_, stop),
        internal::serve_secrets(offers_),
        internal::serve_agents(offers_, poller_),
        internal::serve_uploads(offers_, stop),
        internal::serve_contents(offers_),
        internal::serve_exporters(offers_),
        internal::serve_policy(offers_),
    };
    for (internal::Served& served : all) {
      for (auto& [method, answer] : served) {
        metadata.emplace_back("x-docker-expose-session-grpc-method", method);
        answering_->add(method, std::move(answer));
      }
    }
  }

  void open_door(Metadata& metadata) {
    if (!offers_.direct || (offers_.dirs.empty() && offers_.outputs.empty())) return;
    auto handle = [this](const std::string& method, const internal::Headers& headers, internal::DirectPipe& pipe) {
      std::stop_token stop = stop_.get_token();
      if (method == internal::kGiveFiles) {
        return internal::give_files(
            offers_, headers, pipe, [&] { pipe.stop_reading(); }, stop);
      }
      if (method == internal::kTakeOutput) return internal::take_output(offers_, headers, pipe, stop);
      return user_error(Code::kUnimplemented, fmt::format("unknown method {}", method));
    };
    door_ = internal::DirectDoor::open(handle);
    if (door_) metadata.emplace_back(internal::kDirectHeader, door_->address());
  }

  std::string id_;
  Offers offers_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::shared_ptr<host::Poller> poller_;  // of agent connections
  std::stop_source stop_;
  std::shared_ptr<http2::Connection> connection_;
  // Shared with the connection, which may be giving it a call while the session closes.
  std::shared_ptr<Answering> answering_ = std::make_shared<Answering>();
  std::unique_ptr<internal::DirectDoor> door_;
};

}  // namespace

Result<std::unique_ptr<ClientSession>> ClientSession::open(std::shared_ptr<http2::Connection> daemon,
                                                           const std::string& name, const std::string& shared_key,
                                                           Offers offers) {
  auto session = std::make_unique<TunnelledSession>(new_id(), std::move(offers));
  session->start(*daemon, name, shared_key);
  return std::unique_ptr<ClientSession>(std::move(session));
}

}  // namespace kiln::session
