// A socket as what carries an HTTP/2 connection.
//
//   KILN_RETURN_IF_ERROR(SocketCarrier::start(poller, std::move(socket), connection));
//
// Reads in the poller's thread, all that is there at once; writes in the thread that has something to
// send, and in the poller's when the socket is full.
#pragma once

#include <memory>
#include <mutex>

#include "host/fd.h"
#include "host/poller.h"
#include "http2/connection.h"

namespace kiln::http2 {

// Kept by the poller and the connection. Any thread.
class SocketCarrier final : public Carrier, public host::Pollee {
 public:
  // Starts the connection on a connected, non-blocking socket, which is closed when the connection ends;
  // and ends the connection when the other end closes.
  static Status start(std::shared_ptr<host::Poller> poller, host::Fd socket, std::shared_ptr<Connection> connection);
  SocketCarrier(std::shared_ptr<host::Poller> poller, host::Fd socket, std::shared_ptr<Connection> connection);

  bool send(ByteQueue bytes) override;
  void close() override;
  void on_ready(std::uint32_t events) override;

 private:
  bool write_some();
  void read_some();

  const std::shared_ptr<host::Poller> poller_;
  const host::Fd socket_;  // closed by the destructor: the poller's thread may still be reading
  const std::shared_ptr<Connection> connection_;

  std::mutex mutex_;
  std::uint64_t watch_ = 0;
  ByteQueue waiting_;  // given to send(), not yet in the socket
  bool broken_ = false;
  bool closed_ = false;
};

}  // namespace kiln::http2
