#include "http2/message_reader.h"

#include <algorithm>
#include <cstring>

namespace kiln::http2 {
namespace {
constexpr std::size_t kHeadBytes = 5;
}  // namespace

std::size_t size_of(const Pieces& pieces) {
  std::size_t size = 0;
  for (std::string_view piece : pieces) size += piece.size();
  return size;
}

std::string flat(const Pieces& pieces) {
  std::string out;
  out.reserve(size_of(pieces));
  for (std::string_view piece : pieces) out.append(piece);
  return out;
}

std::string message_head(std::size_t size) {
  std::string head(kHeadBytes, '\0');
  for (int i = 0; i < 4; ++i) head[1 + static_cast<std::size_t>(i)] = static_cast<char>(size >> (24 - 8 * i));
  return head;
}

// False: the head is not here, or not one (then the size is the largest there is).
bool MessageReader::peek_size(std::size_t& size) const {
  if (unread_ < kHeadBytes) return false;
  unsigned char head[kHeadBytes];
  std::size_t from = offset_, have = 0;
  for (std::size_t piece = piece_; have < kHeadBytes; ++piece, from = 0) {
    std::string_view view = bytes_[piece].view.substr(from, kHeadBytes - have);
    std::memcpy(head + have, view.data(), view.size());
    have += view.size();
  }
  size = 0;
  for (int i = 1; i < 5; ++i) size = size << 8 | head[i];
  if (head[0] != 0) size = SIZE_MAX;  // packed, which nobody was told to do
  return true;
}

bool MessageReader::more_at_hand() const {
  std::size_t size;
  return peek_size(size) && (size > kMessageBytesMax || unread_ >= kHeadBytes + size);
}

// The next bytes that lie together.
Bytes MessageReader::advance(std::size_t count_max) {
  const Bytes& piece = bytes_[piece_];
  Bytes out{piece.view.substr(offset_, count_max), piece.keeper};
  offset_ += out.view.size();
  unread_ -= out.view.size();
  if (offset_ == piece.view.size()) {
    ++piece_;
    offset_ = 0;
  }
  return out;
}

bool MessageReader::fill(std::size_t wanted, Ticks::time_point until, Got& instead) {
  while (unread_ < wanted) {
    const std::size_t before = bytes_.size();
    const Stream::Taken taken = stream_->take(bytes_, until);
    if (taken != Stream::Taken::kSome) {
      instead = taken == Stream::Taken::kNothing ? Got::kNothing : unread_ == 0 ? Got::kEnd : Got::kBroken;
      return false;
    }
    for (std::size_t i = before; i < bytes_.size(); ++i) unread_ += bytes_[i].view.size();
  }
  return true;
}

// Leaves the head of a whole message behind.
MessageReader::Got MessageReader::find_message(std::size_t& size, Ticks::time_point until) {
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(piece_));
  piece_ = 0;
  Got instead = Got::kBroken;
  if (!fill(kHeadBytes, until, instead)) return instead;
  peek_size(size);
  if (size > kMessageBytesMax) {
    stream_->reset(kProtocolError);
    return Got::kBroken;
  }
  if (!fill(kHeadBytes + size, until, instead)) return instead;
  for (std::size_t left = kHeadBytes; left > 0;) left -= advance(left).view.size();
  return Got::kMessage;
}

MessageReader::Got MessageReader::read(Pieces& message, Ticks::time_point until) {
  message.clear();
  std::size_t size = 0;
  const Got got = find_message(size, until);
  for (; got == Got::kMessage && size > 0; size -= message.back().size()) message.push_back(advance(size).view);
  return got;
}

MessageReader::Got MessageReader::read(std::vector<Bytes>& message, Ticks::time_point until) {
  message.clear();
  std::size_t size = 0;
  const Got got = find_message(size, until);
  for (; got == Got::kMessage && size > 0; size -= message.back().view.size()) message.push_back(advance(size));
  return got;
}

}  // namespace kiln::http2
