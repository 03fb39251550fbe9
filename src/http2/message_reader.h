// gRPC's messages in the bytes of a stream: five bytes of head, then the message.
//
//   MessageReader reader(stream);
//   Pieces message;
//   while (reader.read(message, kForever) == MessageReader::Got::kMessage) …   // views until the next read
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http2/stream.h"

namespace kiln::http2 {

// A message, in order. Mostly one piece; large ones come in several, of which the first has all but the
// bulk of it.
using Pieces = std::vector<std::string_view>;
std::size_t size_of(const Pieces& pieces);
std::string flat(const Pieces& pieces);

// What stands before a message of that size.
std::string message_head(std::size_t size);

// One thread.
class MessageReader {
 public:
  // Longer messages end the stream. Far above what any end of a session writes.
  static constexpr std::size_t kMessageBytesMax = std::size_t{64} << 20;

  explicit MessageReader(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}

  enum class Got { kMessage, kNothing, kEnd, kBroken };
  // kNothing: not in time. kBroken: what came is no message; the stream is reset. The pieces are good
  // until the next call.
  Got read(Pieces& message, Ticks::time_point until);
  // The same with what keeps the pieces, for longer than that.
  Got read(std::vector<Bytes>& message, Ticks::time_point until);
  // Whether read() would give a message without looking at the stream.
  bool more_at_hand() const;

 private:
  bool fill(std::size_t wanted, Ticks::time_point until, Got& instead);
  bool peek_size(std::size_t& size) const;
  Got find_message(std::size_t& size, Ticks::time_point until);
  Bytes advance(std::size_t count_max);

  std::shared_ptr<Stream> stream_;
  std::deque<Bytes> bytes_;             // taken from the stream; those before piece_ were given by the last read
  std::size_t piece_ = 0, offset_ = 0;  // where the unread begins
  std::size_t unread_ = 0;
};

}  // namespace kiln::http2
