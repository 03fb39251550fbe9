// What sources resolved to, remembered for provenance: a step is shared between builds and may be
// answered from the cache, so whoever describes a build looks its sources up here by vertex.
//
//   pins.set(vertex, "sha256:…");  …  pins.find(vertex);
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/digest.h"

namespace kiln::source {

// Any thread; owned by the daemon. Forgets the oldest above a bound that the builds of a moment do not reach.
class Pins {
 public:
  void set(const Digest& vertex, std::string pin) {
    std::lock_guard guard(mutex_);
    if (!pins_.contains(vertex)) order_.push_back(vertex);
    pins_[vertex] = std::move(pin);
    while (order_.size() > kPinsMax) {
      pins_.erase(order_.front());
      order_.pop_front();
    }
  }
  // Digest or commit; nothing when the vertex is no source or was not resolved lately.
  std::optional<std::string> find(const Digest& vertex) const {
    std::lock_guard guard(mutex_);
    auto found = pins_.find(vertex);
    if (found == pins_.end()) return std::nullopt;
    return found->second;
  }

 private:
  static constexpr std::size_t kPinsMax = 8'192;
  mutable std::mutex mutex_;
  std::unordered_map<Digest, std::string> pins_;
  std::deque<Digest> order_;
};

}  // namespace kiln::source
