#include "layer/internal/chunked_encoder.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace kiln::layer::internal {
namespace {

struct Chunk {
  std::string plain;
  std::string packed;
  bool done = false;
  bool failed = false;
};

class ChunkedEncoder final : public Encoder {
 public:
  ChunkedEncoder(Chunking chunking, ByteSink& sink) : chunking_(std::move(chunking)), sink_(sink) {}

  ~ChunkedEncoder() override {
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
      std::size_t n = std::min(bytes.size(), chunking_.chunk_bytes - filling_->plain.size());
      filling_->plain.append(bytes.substr(0, n));
      bytes.remove_prefix(n);
      if (filling_->plain.size() == chunking_.chunk_bytes) KILN_RETURN_IF_ERROR(hand_over());
    }
    return ok();
  }

  Status finish() override {
    if (threads_.empty()) {
      // A stream of less than a chunk: not worth a thread.
      std::string out;
      std::string_view plain = filling_ ? std::string_view(filling_->plain) : std::string_view();
      auto packer = chunking_.make_packer();
      if (!packer || !packer->pack(plain, out)) return no_memory();
      return sink_.write(out);
    }
    if (filling_) KILN_RETURN_IF_ERROR(hand_over());
    while (!order_.empty()) KILN_RETURN_IF_ERROR(write_oldest());
    return ok();
  }

 private:
  static Status no_memory() { return environment_error(Code::kResourceExhausted, "compress a layer: out of memory"); }

  std::unique_ptr<Chunk> fresh_chunk() {
    if (!spare_.empty()) {
      auto chunk = std::move(spare_.back());
      spare_.pop_back();
      return chunk;
    }
    auto chunk = std::make_unique<Chunk>();
    chunk->plain.reserve(chunking_.chunk_bytes);
    return chunk;
  }

  Status hand_over() {
    if (static_cast<int>(threads_.size()) < chunking_.threads) threads_.emplace_back([this] { compress_chunks(); });
    {
      std::lock_guard guard(mutex_);
      waiting_.push_back(filling_.get());
    }
    work_.notify_one();
    order_.push_back(std::move(filling_));
    while (order_.size() > static_cast<std::size_t>(2 * chunking_.threads + 1) || oldest_is_done()) {
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
    const std::unique_ptr<ChunkPacker> packer = chunking_.make_packer();
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      Chunk* chunk = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      bool good = packer && packer->pack(chunk->plain, chunk->packed);
      lock.lock();
      chunk->failed = !good;
      chunk->done = true;
      done_.notify_all();
    }
  }

  const Chunking chunking_;
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

std::unique_ptr<Encoder> make_chunked_encoder(Chunking chunking, ByteSink& sink) {
  return std::make_unique<ChunkedEncoder>(std::move(chunking), sink);
}

}  // namespace kiln::layer::internal
