// Packets over messages: one a message, as every peer knows it, or many in one message between
// Kiln's own ends, where a context of small files would otherwise cost two messages a file.
//
// A batch is a message of fields 15, each one packet. It is told by its first byte, so that reading
// needs no agreement; writing does: a daemon says "kiln-batch: 1" in the call's metadata, a client
// "x-kiln-batch: 1" in its session's headers, and who has received a batch may send them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "session/internal/call.h"
#include "session/internal/packet.h"

namespace kiln::session::internal {

inline constexpr const char* kBatchKey = "kiln-batch";       // of a call
inline constexpr const char* kBatchHeader = "x-kiln-batch";  // of a session
enum class Batching { kOff, kOn };

// Reading and writing may happen in two threads at once.
class PacketPipe {
 public:
  PacketPipe(MessagePipe& pipe, Batching batching) : pipe_(pipe), batching_(batching == Batching::kOn) {}

  // The next packet; its views are good until the next call. False when the call ended.
  Result<bool> read(Packet& packet);
  // Whether the next packet is here already, so that read() will not wait.
  bool more_at_hand() const { return !left_.empty() || pipe_.more_at_hand(); }
  // Size of the messages read so far, and what add_bytes_read was told of files that came along.
  std::int64_t bytes_read() const { return bytes_read_; }
  void add_bytes_read(std::int64_t bytes) { bytes_read_ += bytes; }
  // Whether a batch was received.
  bool peer_batches() const { return peer_batches_; }

  // Small packets; kLater lets them wait for more. False when the call broke.
  bool write(std::string_view packet, MessagePipe::Flush flush);
  // Contents of any size.
  bool write_data(std::uint32_t id, const Bytes& bytes);
  // Contents as an open file, which the other end reads from where it stands to its end; that ends the
  // file, too. False when it did not go, nothing sent: takes_files() is false, or too many are under way.
  bool takes_files() const { return pipe_.takes_files(); }
  bool write_file(std::uint32_t id, int file, std::int64_t bytes);
  // May be switched on once the peer is known to understand.
  void set_batching() { batching_ = true; }
  bool batching() const { return batching_; }
  std::int64_t bytes_written() const { return bytes_written_; }
  // Reads and forgets what is left.
  void drain();

 private:
  bool send(std::string_view head, const Bytes& body, MessagePipe::Flush flush);
  bool send_batch();

  MessagePipe& pipe_;
  bool batching_;
  std::string out_;
  std::int64_t bytes_written_ = 0;

  Pieces message_;
  std::string in_;         // the batch being read, when it came in pieces
  std::string_view left_;  // of the batch
  bool peer_batches_ = false;
  std::int64_t bytes_read_ = 0;
};

}  // namespace kiln::session::internal
