// Bytes that wait, in pieces: what a stream received and nobody has read, what is to be sent and does
// not fit yet. Large pieces are referred to, small ones copied together, so that many small messages
// do not make many small pieces.
//
//   ByteQueue queue;
//   queue.append(std::string_view("head"));            // copied
//   queue.append(Bytes{view, keeper});                 // kept by its keeper, if it is worth it
//   queue.move_front(100, other);
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace kiln::http2 {

// A run of bytes and what keeps it. Without a keeper the bytes live until the end of the call that
// they are given to.
struct Bytes {
  std::string_view view;
  std::shared_ptr<const void> keeper;
};

// Bytes that keep themselves.
Bytes owned(std::string text);

// One thread.
class ByteQueue {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Copies.
  void append(std::string_view bytes);
  // Refers to large runs that have a keeper; copies the others.
  void append(const Bytes& bytes);
  // Moves the first bytes to the end of another queue; at most what is there.
  void move_front(std::size_t count, ByteQueue& to);
  void drop_front(std::size_t count);
  // Moves all pieces behind those of `to`.
  void move_all(std::deque<Bytes>& to);
  void clear();

  const std::deque<Bytes>& pieces() const { return pieces_; }

 private:
  std::deque<Bytes> pieces_;
  std::size_t size_ = 0;
  // Where copies go. The last piece is extended while it ends where the block does.
  std::shared_ptr<char[]> block_;
  std::size_t block_bytes_ = 0, block_used_ = 0;
};

}  // namespace kiln::http2
