#include "layer/read_ahead.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace kiln::layer {
namespace {

constexpr std::size_t kBufferBytes = 512 * 1024;
constexpr std::size_t kBuffers = 4;

class ReadAhead final : public ByteSource {
 public:
  explicit ReadAhead(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}

  ~ReadAhead() override {
    {
      std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    if (!thread_.joinable()) {
      if (direct_bytes_ < kBufferBytes) {
        KILN_ASSIGN_OR_RETURN(std::size_t n, source_->read(buffer));
        direct_bytes_ += n;
        return n;
      }
      thread_ = std::jthread([this] { produce(); });
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return produced_ > consumed_ || end_; });
    if (produced_ == consumed_) {
      if (!end_->ok()) return *end_;
      return std::size_t{0};
    }
    Slot& slot = slots_[consumed_ % kBuffers];
    lock.unlock();  // the producer leaves a full slot alone
    std::size_t n = std::min(buffer.size(), slot.size - slot.at);
    std::memcpy(buffer.data(), slot.bytes.data() + slot.at, n);
    slot.at += n;
    if (slot.at == slot.size) {
      lock.lock();
      ++consumed_;
      lock.unlock();
      changed_.notify_all();
    }
    return n;
  }

 private:
  struct Slot {
    std::string bytes;
    std::size_t size = 0, at = 0;
  };

  // Fills the slot as far as the source goes; the status of the end when that came.
  std::optional<Status> fill(Slot& slot) {
    if (slot.bytes.empty()) slot.bytes.resize(kBufferBytes);
    slot.size = slot.at = 0;
    while (slot.size < kBufferBytes) {
      auto n = source_->read({slot.bytes.data() + slot.size, kBufferBytes - slot.size});
      if (!n.ok()) return n.status();
      if (*n == 0) return ok();
      slot.size += *n;
    }
    return std::nullopt;
  }

  void produce() {
    while (true) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || produced_ - consumed_ < kBuffers; });
        if (stopping_) return;
      }
      Slot& slot = slots_[produced_ % kBuffers];
      auto end = fill(slot);
      {
        std::lock_guard guard(mutex_);
        if (slot.size > 0) ++produced_;
        end_ = end;
      }
      changed_.notify_all();
      if (end) return;
    }
  }

  std::unique_ptr<ByteSource> source_;
  std::size_t direct_bytes_ = 0;
  std::array<Slot, kBuffers> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t produced_ = 0, consumed_ = 0;
  std::optional<Status> end_;
  bool stopping_ = false;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<ByteSource> read_ahead(std::unique_ptr<ByteSource> source) {
  return std::make_unique<ReadAhead>(std::move(source));
}

}  // namespace kiln::layer
