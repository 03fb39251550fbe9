// The gzip encoder: chunks are handed to threads, their members written in order by the caller.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "layer/internal/encoders.h"
#include "layer/internal/gzip_chunk.h"

namespace kiln::layer::internal {
namespace {

struct Chunk {
  std::string plain;
  std::string packed;
  bool done = false;
  bool failed = false;
};

class GzipEncoder final : public Encoder {
 public:
  GzipEncoder(std::optional<int> level, int threads, ByteSink& sink)
      : level_(level), threads_max_(threads), sink_(sink) {}

  ~GzipEncoder() override {
    {
      std::lock_guard guard(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    threads_.clear();  // joins
  }

  Status write(std::string_view bytes) override {
    while (!bytes.empty()) {
      if (!filling_) filling_ = fresh_chunk();
      std::size_t n = std::min(bytes.size(), kGzipChunkBytes - filling_->plain.size());
      filling_->plain.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (filling_->plain.size() == kGzipChunkBytes) KILN_RETURN_IF_ERROR(hand_over());
    }
    return ok();
  }

  Status finish() override {
    if (threads_.empty()) {
      // A stream of less than a chunk: not worth a thread.
      GzipChunker chunker(level_);
      std::string out;
      std::string_view plain = filling_ ? std::string_view(filling_->plain) : std::string_view();
      if (!chunker.compress(plain, out)) return no_memory();
      return sink_.write(out);
    }
    if (filling_) KILN_RETURN_IF_ERROR(hand_over());
    while (!order_.empty()) KILN_RETURN_IF_ERROR(write_oldest());
    return ok();
  }

 private:
  static Status no_memory() {
    return environment_error(Code::kResourceExhausted, "gzip: out of memory");
  }

  std::unique_ptr<Chunk> fresh_chunk() {
    if (!spare_.empty()) {
      auto chunk = std::move(spare_.back());
      spare_.pop_back();
      return chunk;
    }
    auto chunk = std::make_unique<Chunk>();
    chunk->plain.reserve(kGzipChunkBytes);
    return chunk;
  }

  Status hand_over() {
    if (static_cast<int>(threads_.size()) < threads_max_) threads_.emplace_back([this] { compress_chunks(); });
    {
      std::lock_guard guard(mutex_);
      waiting_.push_back(filling_.get());
    }
    work_.notify_one();
    order_.push_back(std::move(filling_));
    while (order_.size() > static_cast<std::size_t>(2 * threads_max_ + 1) || oldest_is_done()) {
      KILN_RETURN_IF_ERROR(write_oldest());
    }
    return ok();
  }

  bool oldest_is_done() {
    if (order_.empty()) return false;
    std::lock_guard guard(mutex_);
    return order_.front()->done;
  }

  Status write_oldest() {
    auto chunk = std::move(order_.front());
    order_.pop_front();
    {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [&] { return chunk->done; });
    }
    if (chunk->failed) return no_memory();
    KILN_RETURN_IF_ERROR(sink_.write(chunk->packed));
    chunk->plain.clear();
    chunk->packed.clear();
    chunk->done = false;
    spare_.push_back(std::move(chunk));
    return ok();
  }

  void compress_chunks() {
    GzipChunker chunker(level_);
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      Chunk* chunk = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      bool good = chunker.compress(chunk->plain, chunk->packed);
      lock.lock();
      chunk->failed = !good;
      chunk->done = true;
      done_.notify_all();
    }
  }

  const std::optional<int> level_;
  const int threads_max_;
  ByteSink& sink_;
  std::unique_ptr<Chunk> filling_;
  std::deque<std::unique_ptr<Chunk>> order_;  // handed over, not yet written
  std::vector<std::unique_ptr<Chunk>> spare_;

  std::mutex mutex_;  // over what follows and done/failed of chunks handed over
  std::condition_variable work_, done_;
  std::deque<Chunk*> waiting_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace

std::unique_ptr<Encoder> make_gzip_encoder(std::optional<int> level, int threads, ByteSink& sink) {
  return std::make_unique<GzipEncoder>(level, threads, sink);
}

}  // namespace kiln::layer::internal
