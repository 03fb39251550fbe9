// For this room's tests: two connections joined in memory. What one sends the other receives at once, in
// the sending thread, in pieces of a chosen size; or not, while a carrier is held.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "http2/served_call.h"

namespace kiln::http2 {

class JoinedCarrier final : public Carrier {
 public:
  explicit JoinedCarrier(std::size_t piece_bytes) : piece_bytes_(piece_bytes) {}
  void join(std::weak_ptr<Connection> mine, std::weak_ptr<Connection> other) {
    mine_ = std::move(mine);
    other_ = std::move(other);
  }

  bool send(ByteQueue bytes) override {
    ++sends_;
    bytes_sent_ += bytes.size();
    if (held_) {
      std::lock_guard lock(mutex_);
      waiting_ = std::move(bytes);
      return false;
    }
    deliver(bytes);
    return true;
  }
  void close() override {
    closed_ = true;
    if (auto other = other_.lock()) other->end(ok());
  }

  void hold() { held_ = true; }
  void release() {
    held_ = false;
    ByteQueue bytes;
    {
      std::lock_guard lock(mutex_);
      bytes = std::move(waiting_);
    }
    if (bytes.empty()) return;
    deliver(bytes);
    if (auto mine = mine_.lock()) mine->sent();
  }
  int sends() const { return sends_; }
  std::size_t bytes_sent() const { return bytes_sent_; }
  bool closed() const { return closed_; }

 private:
  void deliver(const ByteQueue& bytes) {
    auto other = other_.lock();
    if (!other) return;
    std::vector<Bytes> pieces;
    for (const Bytes& piece : bytes.pieces()) {
      for (std::size_t at = 0; at < piece.view.size(); at += piece_bytes_) {
        pieces.push_back({piece.view.substr(at, piece_bytes_), piece.keeper});
      }
    }
    other->receive(pieces);
  }

  const std::size_t piece_bytes_;
  std::weak_ptr<Connection> mine_, other_;
  std::atomic<bool> held_{false}, closed_{false};
  std::atomic<int> sends_{0};
  std::atomic<std::size_t> bytes_sent_{0};
  std::mutex mutex_;
  ByteQueue waiting_;
};

// A client, and a server whose calls are answered in threads.
class Pair {
 public:
  using Answer = std::function<void(std::shared_ptr<ServedCall>)>;
  explicit Pair(Answer answer, std::size_t piece_bytes = SIZE_MAX)
      : client(Connection::client()),
        up(std::make_shared<JoinedCarrier>(piece_bytes)),
        down(std::make_shared<JoinedCarrier>(piece_bytes)) {
    server = Connection::server([this, answer = std::move(answer)](std::shared_ptr<Stream> stream) {
      auto call = std::make_shared<ServedCall>(std::move(stream));
      std::lock_guard lock(mutex_);
      threads_.emplace_back([answer, call = std::move(call)] { answer(call); });
    });
    up->join(client, server);
    down->join(server, client);
    server->start(down);
    client->start(up);
  }
  ~Pair() {
    up->release();
    down->release();
    client->end(ok());
    server->end(ok());
    std::lock_guard lock(mutex_);
    threads_.clear();
  }

  std::shared_ptr<Connection> client, server;
  std::shared_ptr<JoinedCarrier> up, down;

 private:
  std::mutex mutex_;
  std::vector<std::jthread> threads_;
};

}  // namespace kiln::http2
