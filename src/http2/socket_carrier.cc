#include "http2/socket_carrier.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace kiln::http2 {
namespace {
constexpr std::size_t kReadBytes = 64 * 1024;
// Then others have their turn.
constexpr int kReadsAtOnce = 8;
constexpr std::size_t kPartsAtOnce = 64;
}  // namespace

SocketCarrier::SocketCarrier(std::shared_ptr<host::Poller> poller, host::Fd socket,
                             std::shared_ptr<Connection> connection)
    : poller_(std::move(poller)), socket_(std::move(socket)), connection_(std::move(connection)) {}

Status SocketCarrier::start(std::shared_ptr<host::Poller> poller, host::Fd socket,
                            std::shared_ptr<Connection> connection) {
  auto carrier = std::make_shared<SocketCarrier>(std::move(poller), std::move(socket), connection);
  {
    std::lock_guard lock(carrier->mutex_);
    KILN_ASSIGN_OR_RETURN(carrier->watch_, carrier->poller_->watch(carrier->socket_.get(), carrier));
  }
  connection->start(carrier);
  std::lock_guard lock(carrier->mutex_);
  if (!carrier->closed_) {
    carrier->poller_->keep_armed(carrier->watch_, carrier->socket_.get(),
                                 EPOLLIN | (carrier->waiting_.empty() ? 0u : EPOLLOUT));
  }
  return ok();
}

bool SocketCarrier::send(ByteQueue bytes) {
  std::lock_guard lock(mutex_);
  if (closed_ || broken_) return true;  // it has no place to go
  waiting_ = std::move(bytes);
  if (write_some()) return true;
  poller_->keep_armed(watch_, socket_.get(), EPOLLIN | EPOLLOUT);
  return false;
}

// Whether nothing waits any more. A broken socket is noticed by who reads it.
bool SocketCarrier::write_some() {
  while (!waiting_.empty()) {
    iovec parts[kPartsAtOnce];
    std::size_t count = 0;
    for (const Bytes& piece : waiting_.pieces()) {
      if (count == kPartsAtOnce) break;
      parts[count++] = {const_cast<char*>(piece.view.data()), piece.view.size()};
    }
    msghdr header{};
    header.msg_iov = parts;
    header.msg_iovlen = count;
    const ssize_t written = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (written < 0) {
      broken_ = true;
      waiting_.clear();
      ::shutdown(socket_.get(), SHUT_RDWR);
      return true;
    }
    waiting_.drop_front(static_cast<std::size_t>(written));
  }
  return true;
}

void SocketCarrier::close() {
  std::lock_guard lock(mutex_);
  if (std::exchange(closed_, true)) return;
  waiting_.clear();
  poller_->forget(watch_, socket_.get());
  ::shutdown(socket_.get(), SHUT_RDWR);
}

void SocketCarrier::on_ready(std::uint32_t events) {
  if (events & EPOLLOUT) {
    bool sent = false;
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      if (!waiting_.empty()) sent = write_some();
      if (waiting_.empty()) poller_->keep_armed(watch_, socket_.get(), EPOLLIN);
    }
    if (sent) connection_->sent();
  }
  if (events & ~static_cast<std::uint32_t>(EPOLLOUT)) read_some();
}

void SocketCarrier::read_some() {
  std::shared_ptr<char[]> buffer;
  for (int i = 0; i < kReadsAtOnce; ++i) {
    // What the connection kept parts of is not read into again.
    if (!buffer || buffer.use_count() > 1) buffer = std::make_shared_for_overwrite<char[]>(kReadBytes);
    const ssize_t got = ::recv(socket_.get(), buffer.get(), kReadBytes, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got <= 0) return connection_->end(peer_error(Code::kUnavailable, "the other end closed the connection"));
    const Bytes piece{{buffer.get(), static_cast<std::size_t>(got)}, buffer};
    connection_->receive({&piece, 1});
    if (static_cast<std::size_t>(got) < kReadBytes) return;
  }
}

}  // namespace kiln::http2
