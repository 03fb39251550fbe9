// Messages over a Unix socket: what a call of the session carries, without the two HTTP/2 connections
// that a call goes through otherwise, and with open files beside the bytes. Only between Kiln's own
// ends on one machine (direct_door.h, direct_call.h).
//
// A frame is: kind (one byte), length (four, little-endian), that many bytes. Kinds: a message; a
// message with a file (SCM_RIGHTS, with the frame's first byte); the call's end: code, length of the
// words, the words, details.
#pragma once

#include <sys/types.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "host/fd.h"
#include "session/internal/call.h"

namespace kiln::session::internal {

// One thread reads, one writes; abort() and stop_reading() from any.
class DirectPipe final : public MessagePipe {
 public:
  // A connected stream socket that blocks.
  explicit DirectPipe(host::Fd socket) : socket_(std::move(socket)) {}

  // False when the call's end was received, at the end of the stream, and when the peer makes no sense.
  bool read(Pieces& message) override;
  bool write(std::string_view head, const Bytes& body, Flush flush) override;
  bool takes_files() const override { return true; }
  bool write_file(std::string_view message, int file) override;
  // By the kernel alone. A file that is shorter ends the connection, because its length was told.
  bool write_from(std::string_view start, const host::FileBytes& rest) override;
  host::Fd take_file() override { return std::move(file_); }
  bool complete() const override { return ended_ && ended_->ok(); }

  // A message as it goes through the socket.
  static std::string frame_of_message(std::string_view message);
  // Longer messages of the other end are taken for nonsense.
  static constexpr std::size_t kMessageBytesMax = std::size_t{64} << 20;  // far above what either end writes

  // Ends the call, or one direction of it, for the other end; nothing may be written any more.
  void end(const Status& status);
  // What the other end ended the call with; after a read that gave false.
  const std::optional<Status>& ended() const { return ended_; }
  // Wakes whoever reads or writes; both give false from now on.
  void abort();
  void stop_reading();

 private:
  enum class Kind : unsigned char { kMessage = 0, kMessageWithFile = 1, kEnd = 2 };
  struct Head {
    Kind kind;
    std::size_t size;
  };
  std::optional<Head> read_head();
  bool fill(std::size_t wanted);
  bool read_into(char* to, std::size_t size);
  ssize_t receive(char* to, std::size_t size);
  bool send(Kind kind, std::string_view head, std::string_view body, int file);
  void parse_end(std::string_view bytes);

  host::Fd socket_;
  std::unique_ptr<char[]> buffer_;  // received, not yet given: [at_, filled_)
  std::size_t at_ = 0, filled_ = 0;
  std::unique_ptr<char[]> message_;  // the one read last
  std::size_t message_bytes_ = 0;    // what it can hold
  std::deque<host::Fd> files_;       // received, in order
  host::Fd file_;                    // of the message read last
  std::optional<Status> ended_;
};

}  // namespace kiln::session::internal
