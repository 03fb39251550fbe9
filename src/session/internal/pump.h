// Moves bytes between a socket and a gRPC call whose messages are chunks of bytes: the session
// tunnel on both ends, and agent connections on both ends. Each direction has one message under way.
//
//   auto pump = Pump::start(poller, std::move(socket), stream);   // stream: a reactor, see below
//
// What ends when:
//   the socket ends    -> MessageStream::end_writes (a server's call is over then, a client's half)
//   the messages end   -> the socket's write side is shut (a client's call is over then)
//   the call is done   -> the socket is closed
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "host/fd.h"
#include "session/internal/poller.h"

namespace kiln::session::internal {

// The call's side: starts operations whose end is told to the pump. Implemented by the two reactors.
class MessageStream {
 public:
  virtual ~MessageStream() = default;
  virtual void start_read() = 0;
  virtual void start_write(grpc::ByteBuffer message) = 0;
  // No more messages from here.
  virtual void end_writes() = 0;
  // No operation will be started any more.
  virtual void release() = 0;
  virtual void cancel() = 0;
  // Whether the call is over when its incoming messages are (a client's view).
  virtual bool over_with_reads() const = 0;
};

// Shared by the reactor and the poller. Any thread.
class Pump final : public Pollee, public std::enable_shared_from_this<Pump> {
 public:
  Pump(std::shared_ptr<Poller> poller, host::Fd socket, MessageStream& stream)
      : poller_(std::move(poller)), socket_(std::move(socket)), stream_(&stream) {}
  ~Pump() override;
  // Begins both directions.
  Status start();

  // From the reactor.
  void on_read(bool good, const grpc::ByteBuffer& message);
  void on_written(bool good);
  void on_done();
  // The call was cancelled, or is to be: ends both directions.
  void abort();

  void on_ready(std::uint32_t events) override;

 private:
  void flush();
  void read_socket();
  void rearm();
  void end_stream();
  void fail();

  std::recursive_mutex mutex_;
  std::shared_ptr<Poller> poller_;
  host::Fd socket_;
  MessageStream* stream_;  // null once done
  std::uint64_t watch_ = 0;
  bool released_ = false;      // no operation may start
  bool writes_ended_ = false;  // end_writes was called
  bool in_wanted_ = false;     // no message of ours is under way: the socket may be read
  std::vector<grpc::Slice> slices_;
  std::vector<std::string_view> pending_;  // of slices_, not yet in the socket
  std::size_t pending_at_ = 0;
  std::size_t chunk_ = 16 * 1024;
};

}  // namespace kiln::session::internal
