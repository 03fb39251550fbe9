// How many transfers run at once against one host. Private to the room's client.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "base/status.h"

namespace kiln::registry {

// Any thread.
class HostLimits {
 public:
  explicit HostLimits(int transfers_max) : transfers_max_(transfers_max) {}

  // Held while a transfer runs; given back by the destructor.
  class Slot {
   public:
    Slot() = default;
    Slot(HostLimits* limits, std::string key) : limits_(limits), key_(std::move(key)) {}
    Slot(Slot&& other) noexcept : limits_(other.limits_), key_(std::move(other.key_)) { other.limits_ = nullptr; }
    Slot& operator=(Slot&& other) noexcept {
      release();
      limits_ = other.limits_;
      key_ = std::move(other.key_);
      other.limits_ = nullptr;
      return *this;
    }
    ~Slot() { release(); }
    void release() {
      if (limits_ != nullptr) limits_->give_back(key_);
      limits_ = nullptr;
    }

   private:
    HostLimits* limits_ = nullptr;
    std::string key_;
  };

  // Manifests have a lane of their own, so that they never wait behind layers; so have uploads, because one may
  // wait for a download from the same host.
  enum class Lane { kBlobs, kUploads, kManifests };
  // Waits for a slot; Cancelled when stopped meanwhile.
  Result<Slot> take(const std::string& host, Lane lane, std::stop_token stop) {
    std::string key = host;
    if (lane == Lane::kManifests) key += "|manifests";
    if (lane == Lane::kUploads) key += "|uploads";
    int max = lane == Lane::kManifests ? transfers_max_ + 1 : transfers_max_;
    std::unique_lock lock(mutex_);
    bool got = changed_.wait(lock, stop, [&] { return running_[key] < max; });
    if (!got) return cancelled();
    ++running_[key];
    return Slot(this, std::move(key));
  }

 private:
  void give_back(const std::string& key) {
    {
      std::lock_guard guard(mutex_);
      if (--running_[key] <= 0) running_.erase(key);
    }
    changed_.notify_all();
  }

  int transfers_max_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, int> running_;
};

}  // namespace kiln::registry
