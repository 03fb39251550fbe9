#include "http2/connection.h"

#include "http2/internal/session.h"

namespace kiln::http2 {

std::shared_ptr<Connection> Connection::client() {
  std::shared_ptr<Connection> connection(new Connection({}));
  connection->session_ = std::make_unique<Session>(*connection, false);
  return connection;
}

std::shared_ptr<Connection> Connection::server(Accept accept) {
  std::shared_ptr<Connection> connection(new Connection(std::move(accept)));
  connection->session_ = std::make_unique<Session>(*connection, true);
  return connection;
}

Connection::Connection(Accept accept) : accept_(std::move(accept)) {}

Connection::~Connection() = default;

void Connection::start(std::shared_ptr<Carrier> carrier) {
  std::unique_lock lock(mutex_);
  carrier_ = std::move(carrier);
  leave(lock);
}

void Connection::receive(std::span<const Bytes> pieces) {
  std::unique_lock lock(mutex_);
  for (const Bytes& piece : pieces) {
    if (ended_) break;
    if (session_->receive(piece) < 0) {
      fail(peer_error(Code::kUnavailable, "the other end of the connection breaks the rules of HTTP/2"));
    }
  }
  leave(lock);
}

void Connection::sent() {
  std::unique_lock lock(mutex_);
  sending_ = false;
  leave(lock);
}

void Connection::end(const Status& why) {
  std::unique_lock lock(mutex_);
  fail(why.ok() ? peer_error(Code::kUnavailable, "the connection has ended") : why);
  leave(lock);
}

bool Connection::ended() const {
  std::lock_guard lock(mutex_);
  return ended_.has_value();
}

bool Connection::wait_greeted(Ticks::time_point until) const {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until, [this] { return greeted_ || ended_; });
  return greeted_ && !ended_;
}

std::shared_ptr<Stream> Connection::open(const Fields& fields) {
  std::lock_guard lock(mutex_);
  auto stream = std::make_shared<Stream>(shared_from_this(), -1);
  if (!ended_) stream->id_ = session_->request(stream, fields);
  if (stream->id_ < 0) {
    stream->closed_ = true;
    stream->ended_ = Ending{false, kRefusedStream, ended_.value_or(ok()), {}};
  }
  return stream;
}

void Connection::touch(Stream& stream) {
  if (stream.touched_) return;
  stream.touched_ = true;
  touched_.push_back(stream.shared_from_this());
}

void Connection::fail(const Status& why) {
  if (ended_) return;
  ended_ = why;
  for (auto& [id, stream] : session_->streams) {
    stream->closed_ = true;
    stream->out_.clear();
    stream->end_locked({false, 0, why, {}});
    touch(*stream);
  }
  session_.reset();
  changed_.notify_all();
}

void Connection::produce(ByteQueue& batch) {
  if (session_->produce(batch) < 0) {
    return fail(peer_error(Code::kUnavailable, "the connection cannot go on"));
  }
  if (batch.empty() && session_->over()) fail(peer_error(Code::kUnavailable, "the other end closed the connection"));
}

// Ends every public function: sends what there is to send, and tells those that something happened to.
// Neither happens under the lock; that one batch is under way at a time keeps the order.
void Connection::leave(std::unique_lock<std::mutex>& lock) {
  while (true) {
    ByteQueue batch;
    if (!ended_ && !sending_ && carrier_) {
      produce(batch);
      sending_ = !batch.empty();
    }
    std::shared_ptr<Carrier> carrier = ended_ ? std::exchange(carrier_, nullptr) : carrier_;
    const bool over = ended_.has_value();
    std::vector<std::pair<std::shared_ptr<Stream>, std::shared_ptr<std::function<void()>>>> told;
    for (std::shared_ptr<Stream>& stream : touched_) {
      stream->touched_ = false;
      stream->changed_.notify_all();
      auto callback = stream->closed_ ? std::exchange(stream->told_, nullptr) : stream->told_;
      if (callback) told.emplace_back(std::move(stream), std::move(callback));
    }
    touched_.clear();
    std::vector<std::shared_ptr<Stream>> accepted = std::exchange(accepted_, {});
    lock.unlock();
    for (std::shared_ptr<Stream>& stream : accepted) accept_(std::move(stream));
    for (auto& [stream, callback] : told) (*callback)();
    if (over && carrier) carrier->close();
    if (over || batch.empty() || !carrier->send(std::move(batch))) return;
    lock.lock();
    sending_ = false;
  }
}

}  // namespace kiln::http2
