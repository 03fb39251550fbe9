#include "session/internal/agent_pump.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "session/internal/packet.h"

namespace kiln::session::internal {

Result<std::shared_ptr<AgentPump>> AgentPump::start(std::shared_ptr<host::Poller> poller, host::Fd socket,
                                                    std::shared_ptr<http2::Stream> stream, End end,
                                                    std::function<void()> end_writes) {
  auto pump = std::make_shared<AgentPump>(std::move(poller), std::move(socket), stream, end, std::move(end_writes));
  KILN_ASSIGN_OR_RETURN(pump->watch_, pump->poller_->watch(pump->socket_.get(), pump));
  stream->flush();
  stream->on_change([weak = std::weak_ptr(pump)] {
    if (auto pump = weak.lock()) pump->turns_.run([&] { pump->work(); });
  });
  return pump;
}

AgentPump::AgentPump(std::shared_ptr<host::Poller> poller, host::Fd socket, std::shared_ptr<http2::Stream> stream,
                     End end, std::function<void()> end_writes)
    : poller_(std::move(poller)),
      socket_(std::move(socket)),
      stream_(stream),
      end_(end),
      end_writes_(std::move(end_writes)),
      reader_(std::move(stream)) {}

void AgentPump::abort() {
  aborted_ = true;
  turns_.run([this] { work(); });
}

void AgentPump::on_ready(std::uint32_t events) {
  if (events & ~static_cast<std::uint32_t>(EPOLLOUT)) readable_ = true;
  turns_.run([this] { work(); });
}

void AgentPump::work() {
  if (!socket_.valid()) return;
  if (aborted_ || (end_ == End::kAnswering && stream_->closed()) || !move_in()) return close();
  move_out();
  if (writes_over_ && end_ == End::kAnswering) return close();
  std::uint32_t events = 0;
  if (!readable_ && !writes_over_) events |= EPOLLIN;
  if (!pending_.empty()) events |= EPOLLOUT;
  if (events != 0) poller_->arm(watch_, socket_.get(), events);
}

// From the call to the socket; false when nothing more is to be done at all.
bool AgentPump::move_in() {
  while (!reads_over_) {
    if (!write_socket()) return false;
    if (!pending_.empty()) return true;
    switch (reader_.read(pending_, http2::kNoWait)) {
      case http2::MessageReader::Got::kMessage:
        if (!bytes_of_message(pending_).ok()) return false;
        break;
      case http2::MessageReader::Got::kNothing: return true;
      case http2::MessageReader::Got::kBroken: return false;
      case http2::MessageReader::Got::kEnd:
        if (end_ == End::kAsking || !stream_->ending().complete) return false;
        reads_over_ = true;
        ::shutdown(socket_.get(), SHUT_WR);
    }
  }
  return true;
}

bool AgentPump::write_socket() {
  std::size_t done = 0;
  while (done < pending_.size()) {
    std::string_view& piece = pending_[done];
    const ssize_t count = ::send(socket_.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (count < 0) return false;
    piece.remove_prefix(static_cast<std::size_t>(count));
    if (piece.empty()) ++done;
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(done));
  return true;
}

// From the socket to the call, while that takes more.
void AgentPump::move_out() {
  std::array<char, 16 * 1024> buffer;
  while (readable_ && !writes_over_ && stream_->writable()) {
    readable_ = false;
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    readable_ = true;
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      writes_over_ = true;
      end_writes_();
      return;
    }
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    const std::string head = bytes_message_head(bytes.size());
    stream_->write(http2::message_head(head.size() + bytes.size()) + head, {bytes, nullptr}, http2::Flush::kNow);
  }
}

void AgentPump::close() {
  poller_->forget(watch_, socket_.get());
  socket_.reset();
  if (!writes_over_ || end_ == End::kAsking) stream_->reset(http2::kCancel);
}

}  // namespace kiln::session::internal
