#include "session/internal/pump.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "session/internal/packet.h"

namespace kiln::session::internal {
namespace {
constexpr std::size_t kChunkMin = 16 * 1024;
constexpr std::size_t kChunkMax = 1024 * 1024;
}  // namespace

Pump::~Pump() = default;

Status Pump::start() {
  std::lock_guard lock(mutex_);
  KILN_ASSIGN_OR_RETURN(watch_, poller_->watch(socket_.get(), shared_from_this()));
  in_wanted_ = true;
  rearm();
  stream_->start_read();
  return ok();
}

void Pump::on_read(bool good, const grpc::ByteBuffer& message) {
  std::lock_guard lock(mutex_);
  if (!stream_ || !socket_.valid()) return;
  if (!good) {
    shutdown(socket_.get(), SHUT_WR);
    if (stream_->over_with_reads() && !released_) {
      released_ = true;
      stream_->release();
    }
    return;
  }
  if (!bytes_of_message(message, slices_, pending_).ok()) {
    fail();
    return;
  }
  flush();
  rearm();
}

void Pump::on_written(bool good) {
  std::lock_guard lock(mutex_);
  if (!stream_ || !socket_.valid()) return;
  if (!good) {
    end_stream();
    return;
  }
  in_wanted_ = true;
  read_socket();
  rearm();
}

void Pump::on_done() {
  std::lock_guard lock(mutex_);
  stream_ = nullptr;
  released_ = true;
  if (!socket_.valid()) return;
  poller_->forget(watch_, socket_.get());
  socket_.reset();
}

void Pump::abort() {
  std::lock_guard lock(mutex_);
  if (socket_.valid()) shutdown(socket_.get(), SHUT_RDWR);
  if (stream_) stream_->cancel();
}

void Pump::on_ready(std::uint32_t) {
  std::lock_guard lock(mutex_);
  if (!stream_ || !socket_.valid()) return;
  if (!pending_.empty()) flush();
  if (in_wanted_) read_socket();
  rearm();
}

void Pump::flush() {
  while (pending_at_ < pending_.size()) {
    iovec parts[64];
    std::size_t count = std::min<std::size_t>(64, pending_.size() - pending_at_);
    for (std::size_t i = 0; i < count; ++i) {
      std::string_view piece = pending_[pending_at_ + i];
      parts[i] = {const_cast<char*>(piece.data()), piece.size()};
    }
    msghdr header{};
    header.msg_iov = parts;
    header.msg_iovlen = count;
    ssize_t written = sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (written < 0) {
      // Nobody reads this end any more; what remains has no place to go.
      pending_.clear();
      slices_.clear();
      pending_at_ = 0;
      end_stream();
      if (stream_->over_with_reads()) fail();
      return;
    }
    auto left = static_cast<std::size_t>(written);
    while (left > 0) {
      std::string_view& piece = pending_[pending_at_];
      std::size_t taken = std::min(left, piece.size());
      piece.remove_prefix(taken);
      left -= taken;
      if (piece.empty()) ++pending_at_;
    }
    while (pending_at_ < pending_.size() && pending_[pending_at_].empty()) ++pending_at_;
  }
  pending_.clear();
  slices_.clear();
  pending_at_ = 0;
  if (!released_) stream_->start_read();
}

void Pump::read_socket() {
  if (released_ || writes_ended_) return;
  while (true) {
    grpc::Slice slice(chunk_);
    ssize_t got = recv(socket_.get(), const_cast<std::uint8_t*>(slice.begin()), slice.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got <= 0) {
      end_stream();
      return;
    }
    auto size = static_cast<std::size_t>(got);
    if (size == chunk_) {
      chunk_ = std::min(chunk_ * 2, kChunkMax);
    } else if (size < chunk_ / 4) {
      chunk_ = std::max(chunk_ / 2, kChunkMin);
    }
    in_wanted_ = false;
    stream_->start_write(bytes_message(slice.sub(0, size)));
    return;
  }
}

// For the moments in which no read is under way that would tell the end.
void Pump::fail() {
  shutdown(socket_.get(), SHUT_RDWR);
  stream_->cancel();
  if (!stream_->over_with_reads() || released_) return;
  released_ = true;
  stream_->release();
}

void Pump::end_stream() {
  in_wanted_ = false;
  if (writes_ended_ || released_) return;
  writes_ended_ = true;
  if (!stream_->over_with_reads()) released_ = true;
  stream_->end_writes();
}

void Pump::rearm() {
  if (!socket_.valid() || !stream_) return;
  std::uint32_t events = 0;
  if (in_wanted_ && !released_ && !writes_ended_) events |= EPOLLIN;
  if (!pending_.empty()) events |= EPOLLOUT;
  if (events != 0) poller_->arm(watch_, socket_.get(), events);
}

}  // namespace kiln::session::internal
