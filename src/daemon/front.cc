#include "daemon/front.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/log.h"
#include "http2/relay.h"
#include "http2/socket_carrier.h"
#include "session/tunnel.h"

namespace kiln::daemon {

// What belongs to one client's connection; kept by it.
class Front::Guest {
 public:
  Guest(session::Sessions& sessions, std::shared_ptr<FrontCalls> calls, std::shared_ptr<const Backend> backend,
        std::shared_ptr<host::Poller> poller)
      : sessions_(sessions), calls_(std::move(calls)), backend_(std::move(backend)), poller_(std::move(poller)) {}
  ~Guest() {
    if (behind_) behind_->end(cancelled("the client has left"));
  }

  void accept(std::shared_ptr<http2::Stream> stream) {
    const http2::Fields fields = stream->begin_fields().value_or(http2::Fields());
    if (http2::field_of(fields, ":path") == session::kSessionMethod) {
      return session::serve_session(sessions_, std::move(stream));
    }
    if (calls_->take(stream, fields)) return;
    Result<std::shared_ptr<http2::Connection>> to = behind();
    if (to.ok()) return http2::relay(std::move(stream), (*to)->open(fields));
    log_error("a call cannot be taken: {}", message_of(to.status()));
    stream->reset(http2::kRefusedStream);
  }

 private:
  Result<std::shared_ptr<http2::Connection>> behind() {
    std::lock_guard lock(mutex_);
    if (behind_ && !behind_->ended()) return behind_;
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
      return errno_error(errno, "make a pair of sockets");
    }
    host::Fd ours(ends[0]), theirs(ends[1]);
    behind_ = http2::Connection::client();
    KILN_RETURN_IF_ERROR(http2::SocketCarrier::start(poller_, std::move(ours), behind_));
    (*backend_)(std::move(theirs));
    return behind_;
  }

  session::Sessions& sessions_;
  const std::shared_ptr<FrontCalls> calls_;
  const std::shared_ptr<const Backend> backend_;
  const std::shared_ptr<host::Poller> poller_;
  std::mutex mutex_;
  std::shared_ptr<http2::Connection> behind_;
};

Front::Front(const ServiceGround& ground, Backend backend)
    : sessions_(*ground.sessions),
      calls_(std::make_shared<FrontCalls>(ground)),
      backend_(std::make_shared<const Backend>(std::move(backend))) {}

Front::~Front() { close(); }

void Front::take(host::Fd socket) {
  auto guest = std::make_shared<Guest>(sessions_, calls_, backend_, poller_);
  auto connection =
      http2::Connection::server([guest](std::shared_ptr<http2::Stream> stream) { guest->accept(std::move(stream)); });
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    std::erase_if(connections_, [](const std::weak_ptr<http2::Connection>& one) { return one.expired(); });
    connections_.push_back(connection);
  }
  Status started = http2::SocketCarrier::start(poller_, std::move(socket), connection);
  if (!started.ok()) log_error("a connection cannot be taken: {}", message_of(started));
}

void Front::close(Duration patience) {
  calls_->wait_idle(patience);
  std::vector<std::weak_ptr<http2::Connection>> connections;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    connections.swap(connections_);
  }
  for (const auto& weak : connections) {
    if (auto connection = weak.lock()) connection->end(peer_error(Code::kUnavailable, "the daemon is stopping"));
  }
}

}  // namespace kiln::daemon
