// What is remembered of steps that ran, for the record of a build (provenance): what they fetched
// through the proxy network and what they used. A step is shared between builds, so whoever describes
// a build looks it up here by its vertex. A step that was answered from the cache did neither.
//
//   records.set_fetched(vertex, {…});  records.set_samples(vertex, samples);
//   if (auto record = records.find(vertex)) …
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "sandbox/proxy/capture.h"
#include "sandbox/step_samples.h"

namespace kiln::op {

struct Fetched {
  std::vector<sandbox::proxy::Material> materials;
  std::vector<sandbox::proxy::Incomplete> incomplete;
};

struct StepRecord {
  std::optional<Fetched> fetched;                       // ran behind the proxy network
  std::shared_ptr<const sandbox::StepSamples> samples;  // null unless OpPorts::sample_usage was set
};

// Any thread; owned by the daemon. Forgets the oldest above a bound that no build reaches.
class StepRecords {
 public:
  void set_fetched(const Digest& vertex, Fetched fetched) {
    std::lock_guard guard(mutex_);
    at(vertex).fetched = std::move(fetched);
  }
  void set_samples(const Digest& vertex, std::shared_ptr<const sandbox::StepSamples> samples) {
    std::lock_guard guard(mutex_);
    at(vertex).samples = std::move(samples);
  }
  // Vertex::digest is the key. Nothing when the vertex did not run lately.
  std::optional<StepRecord> find(const Digest& vertex) const {
    std::lock_guard guard(mutex_);
    const auto found = records_.find(vertex);
    return found == records_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  static constexpr std::size_t kVerticesMax = 10'000;
  StepRecord& at(const Digest& vertex) {
    const auto [place, added] = records_.try_emplace(vertex);
    if (!added) return place->second;
    order_.push_back(vertex);
    if (order_.size() > kVerticesMax) {
      records_.erase(order_.front());
      order_.pop_front();
    }
    return records_.at(vertex);
  }
  mutable std::mutex mutex_;
  std::unordered_map<Digest, StepRecord> records_;
  std::deque<Digest> order_;
};

}  // namespace kiln::op
