#include "http2/stream.h"

#include "http2/connection.h"
#include "http2/internal/session.h"

namespace kiln::http2 {
namespace {
// Of one stream, written and not yet on its way.
constexpr std::size_t kWaitingBytesMax = 1 << 20;
// What may wait for more even though it may wait.
constexpr std::size_t kLaterBytesMax = 64 * 1024;
}  // namespace

std::optional<std::string_view> field_of(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Stream::Stream(std::shared_ptr<Connection> connection, std::int32_t id)
    : connection_(std::move(connection)), served_(id > 0), id_(id) {}

// Whether nothing that is written will be read: a client's call is over when the answer is, a server's is
// not when the request is.
bool Stream::written_off_locked() const { return closed_ || out_done_ || (ended_ && !(served_ && ended_->complete)); }

void Stream::end_locked(Ending ending) {
  if (!ended_) ended_ = std::move(ending);
}

Stream::Taken Stream::take(std::deque<Bytes>& into, Ticks::time_point until) {
  std::unique_lock lock(connection_->mutex_);
  if (std::size_t granted = std::exchange(to_grant_, 0); granted > 0 && !closed_) {
    connection_->session_->grant(*this, granted);
  }
  if (in_.empty() && !ended_) {
    flush_locked(lock);  // the other end may wait for it
    lock.lock();
  }
  auto ready = [this] { return !in_.empty() || ended_; };
  if (until == kForever) {
    changed_.wait(lock, ready);
  } else if (until != kNoWait) {
    changed_.wait_until(lock, until, ready);
  }
  if (in_.empty()) return ended_ ? Taken::kEnd : Taken::kNothing;
  to_grant_ = in_.size();
  in_.move_all(into);
  return Taken::kSome;
}

std::optional<Fields> Stream::begin_fields() const {
  std::lock_guard lock(connection_->mutex_);
  return begin_;
}

bool Stream::wait_begin(Ticks::time_point until) {
  std::unique_lock lock(connection_->mutex_);
  flush_locked(lock);
  lock.lock();
  auto ready = [this] { return begin_ || ended_; };
  if (until != kForever) return changed_.wait_until(lock, until, ready);
  changed_.wait(lock, ready);
  return true;
}

bool Stream::ended() const {
  std::lock_guard lock(connection_->mutex_);
  return ended_.has_value();
}

bool Stream::ended_at_once() const {
  std::lock_guard lock(connection_->mutex_);
  return begin_was_all_;
}

bool Stream::closed() const {
  std::lock_guard lock(connection_->mutex_);
  return closed_;
}

Ending Stream::ending() const {
  std::lock_guard lock(connection_->mutex_);
  return ended_.value_or(Ending());
}

void Stream::respond(const Fields& fields) {
  std::unique_lock lock(connection_->mutex_);
  if (closed_ || std::exchange(responded_, true)) return;
  if (connection_->session_->respond(*this, fields) != 0) connection_->session_->reset(*this, kCancel);
}

void Stream::respond_and_end(const Fields& fields) {
  std::unique_lock lock(connection_->mutex_);
  if (closed_ || std::exchange(responded_, true)) return;
  out_done_ = true;
  if (connection_->session_->respond_and_end(*this, fields) != 0) connection_->session_->reset(*this, kCancel);
  connection_->touch(*this);
  connection_->leave(lock);
}

bool Stream::write(std::string_view head, const Bytes& body, Flush flush) {
  std::unique_lock lock(connection_->mutex_);
  changed_.wait(lock, [this] { return written_off_locked() || out_.size() < kWaitingBytesMax; });
  if (written_off_locked()) return false;
  out_.append(head);
  out_.append(body);
  return written_locked(lock, flush);
}

bool Stream::write(ByteQueue bytes, Flush flush) {
  std::unique_lock lock(connection_->mutex_);
  if (written_off_locked()) return false;
  bytes.move_front(bytes.size(), out_);
  return written_locked(lock, flush);
}

bool Stream::written_locked(std::unique_lock<std::mutex>& lock, Flush flush) {
  if (flush == Flush::kLater && out_.size() < kLaterBytesMax) return true;
  connection_->session_->resume(*this);
  connection_->leave(lock);
  return true;
}

bool Stream::writable() const {
  std::lock_guard lock(connection_->mutex_);
  return written_off_locked() || out_.size() < kWaitingBytesMax;
}

void Stream::flush() {
  std::unique_lock lock(connection_->mutex_);
  flush_locked(lock);
}

void Stream::flush_locked(std::unique_lock<std::mutex>& lock) {
  if (!closed_ && !out_.empty()) connection_->session_->resume(*this);
  connection_->leave(lock);
}

void Stream::finish_locked(Fields trailers) {
  out_done_ = true;
  trailers_ = std::move(trailers);
  connection_->session_->resume(*this);
}

void Stream::end() { end(Fields()); }

void Stream::end(Fields trailers) {
  std::unique_lock lock(connection_->mutex_);
  if (closed_ || out_done_) return;
  finish_locked(std::move(trailers));
  connection_->touch(*this);
  connection_->leave(lock);
}

void Stream::reset(std::uint32_t error_code) {
  std::unique_lock lock(connection_->mutex_);
  if (closed_) return;
  out_done_ = true;
  out_.clear();
  if (!ended_) {
    in_.clear();
    end_locked({false, error_code, {}, {}});
  }
  connection_->session_->reset(*this, error_code);
  connection_->touch(*this);
  connection_->leave(lock);
}

void Stream::on_change(std::function<void()> told) {
  auto kept = std::make_shared<std::function<void()>>(std::move(told));
  {
    std::lock_guard lock(connection_->mutex_);
    if (!closed_) told_ = kept;
  }
  (*kept)();
}

}  // namespace kiln::http2
