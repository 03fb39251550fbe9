// Moves bytes between a socket and a call whose messages are chunks of bytes: agent connections, on both
// ends. Costs no thread; a slow side holds back the other.
//
//   the socket ends         -> the call's messages end; a served call ends
//   the call's messages end -> the socket's write side is shut; a call of ours is over, the socket closed
//   the call breaks         -> the socket is closed
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "host/fd.h"
#include "host/poller.h"
#include "http2/message_reader.h"
#include "http2/one_at_a_time.h"

namespace kiln::session::internal {

// Kept by the poller while it runs. Any thread.
class AgentPump final : public host::Pollee, public std::enable_shared_from_this<AgentPump> {
 public:
  enum class End { kAsking, kAnswering };
  // A connected, non-blocking socket. `end_writes` ends the call's messages from here.
  static Result<std::shared_ptr<AgentPump>> start(std::shared_ptr<host::Poller> poller, host::Fd socket,
                                                  std::shared_ptr<http2::Stream> stream, End end,
                                                  std::function<void()> end_writes);
  AgentPump(std::shared_ptr<host::Poller> poller, host::Fd socket, std::shared_ptr<http2::Stream> stream, End end,
            std::function<void()> end_writes);

  // Closes both.
  void abort();
  void on_ready(std::uint32_t events) override;

 private:
  void work();
  bool move_in();
  void move_out();
  bool write_socket();
  void close();

  const std::shared_ptr<host::Poller> poller_;
  host::Fd socket_;
  const std::shared_ptr<http2::Stream> stream_;
  const End end_;
  const std::function<void()> end_writes_;
  std::uint64_t watch_ = 0;
  std::atomic<bool> aborted_{false};
  std::atomic<bool> readable_{false};

  // Used by work() alone.
  http2::OneAtATime turns_;
  http2::MessageReader reader_;
  http2::Pieces pending_;  // of the message read last: not yet in the socket
  bool reads_over_ = false, writes_over_ = false;
};

}  // namespace kiln::session::internal
