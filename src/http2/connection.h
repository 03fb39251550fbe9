// HTTP/2 over whatever carries bytes: a socket, or the messages of a call in another connection. Both
// ends; no thread of its own: it works in the threads that bring bytes and that use its streams.
//
//   auto connection = Connection::client();
//   connection->start(carrier);
//   connection->receive(pieces);                    // by the carrier, when bytes came
//   auto stream = connection->open({{":method", "POST"}, …});
//
// Windows are large and fixed (no pings that measure), frames up to a megabyte. Nothing that the other
// end sends makes it hold more than a window a stream; what makes no sense ends the connection.
// Format: RFC 9113 and RFC 7541, by nghttp2.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "http2/byte_queue.h"
#include "http2/stream.h"

namespace kiln::http2 {

struct Session;  // internal/session.h

// The port to what carries the bytes. Never called under a connection's lock.
class Carrier {
 public:
  virtual ~Carrier() = default;
  // Sends what the queue holds behind all that was sent before. True: it is gone; false: it goes, and
  // Connection::sent() is called when it has, perhaps before this returns. One at a time.
  virtual bool send(ByteQueue bytes) = 0;
  // Nothing is sent any more; the connection has ended.
  virtual void close() = 0;
};

// Owned by those who use it and by its open streams. Any thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // Told of each stream that the other end opens, its begin_fields() there; from the thread that received.
  using Accept = std::function<void(std::shared_ptr<Stream>)>;

  static std::shared_ptr<Connection> client();
  static std::shared_ptr<Connection> server(Accept accept);
  ~Connection();

  // Says hello. Once, before anything else.
  void start(std::shared_ptr<Carrier> carrier);

  // From the carrier, one call at a time. Large pieces are kept by their keepers, not copied.
  void receive(std::span<const Bytes> pieces);
  void sent();
  // No more will come or can go: every stream ends with this status (Unavailable, when ok).
  void end(const Status& why);
  bool ended() const;
  // Waits until the other end has said hello; false when it did not in time, or the connection has ended.
  bool wait_greeted(Ticks::time_point until) const;

  // Begins a stream; its fields go with the first flush, or when one waits for the answer. One that has
  // ended already when the connection has.
  std::shared_ptr<Stream> open(const Fields& fields);

 private:
  friend class Stream;
  friend struct Session;
  friend struct Callbacks;
  explicit Connection(Accept accept);
  void touch(Stream& stream);
  void fail(const Status& why);
  void leave(std::unique_lock<std::mutex>& lock);
  void produce(ByteQueue& batch);

  mutable std::mutex mutex_;
  const Accept accept_;
  std::unique_ptr<Session> session_;
  std::shared_ptr<Carrier> carrier_;
  std::vector<std::shared_ptr<Stream>> touched_;   // to be told
  std::vector<std::shared_ptr<Stream>> accepted_;  // to be given away
  bool sending_ = false;
  std::optional<Status> ended_;
  bool greeted_ = false;
  mutable std::condition_variable changed_;  // of the two above
};

}  // namespace kiln::http2
