#include "http2/byte_queue.h"

#include <algorithm>
#include <cstring>

namespace kiln::http2 {
namespace {
// Below, a copy is cheaper than a reference, and does not keep a large buffer for a few bytes.
constexpr std::size_t kReferredBytesMin = 2048;
constexpr std::size_t kBlockBytesMin = 512;
constexpr std::size_t kBlockBytesMax = 32 * 1024;
}  // namespace

Bytes owned(std::string text) {
  auto kept = std::make_shared<const std::string>(std::move(text));
  return {*kept, kept};
}

void ByteQueue::append(std::string_view bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (block_used_ == block_bytes_) {
      block_bytes_ = std::clamp(block_bytes_ * 4, kBlockBytesMin, kBlockBytesMax);
      block_ = std::make_shared_for_overwrite<char[]>(block_bytes_);
      block_used_ = 0;
    }
    const std::size_t count = std::min(bytes.size(), block_bytes_ - block_used_);
    char* to = block_.get() + block_used_;
    std::memcpy(to, bytes.data(), count);
    block_used_ += count;
    bytes.remove_prefix(count);
    if (!pieces_.empty() && pieces_.back().view.data() + pieces_.back().view.size() == to &&
        pieces_.back().keeper == block_) {
      pieces_.back().view = {pieces_.back().view.data(), pieces_.back().view.size() + count};
    } else {
      pieces_.push_back({{to, count}, block_});
    }
  }
}

void ByteQueue::append(const Bytes& bytes) {
  if (bytes.view.size() < kReferredBytesMin || !bytes.keeper) return append(bytes.view);
  size_ += bytes.view.size();
  pieces_.push_back(bytes);
}

void ByteQueue::move_front(std::size_t count, ByteQueue& to) {
  while (count > 0 && !pieces_.empty()) {
    Bytes& front = pieces_.front();
    const std::size_t taken = std::min(count, front.view.size());
    to.append(Bytes{front.view.substr(0, taken), front.keeper});
    front.view.remove_prefix(taken);
    if (front.view.empty()) pieces_.pop_front();
    size_ -= taken;
    count -= taken;
  }
}

void ByteQueue::drop_front(std::size_t count) {
  while (count > 0 && !pieces_.empty()) {
    std::string_view& front = pieces_.front().view;
    const std::size_t taken = std::min(count, front.size());
    front.remove_prefix(taken);
    if (front.empty()) pieces_.pop_front();
    size_ -= taken;
    count -= taken;
  }
}

void ByteQueue::move_all(std::deque<Bytes>& to) {
  if (to.empty()) {
    to.swap(pieces_);
  } else {
    for (Bytes& piece : pieces_) to.push_back(std::move(piece));
  }
  pieces_.clear();
  size_ = 0;
}

void ByteQueue::clear() {
  pieces_.clear();
  size_ = 0;
}

}  // namespace kiln::http2
