// The same question asked twice at once is answered once. Used by sources so that builds share a
// download or a resolution.
//
//   Result<Image> image = flight.run(key, stop, [&] { return resolve(); });
//
// Unlike the solver's sharing this one has no memory: a question after the answer runs anew.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"

namespace kiln::source {

// Any thread. T is copyable.
template <typename T>
class Flight {
 public:
  // Runs `work`, or waits for the one who already does. When that one is stopped the next waiter
  // takes over. Cancelled when `stop` is stopped while waiting.
  Result<T> run(const std::string& key, std::stop_token stop, const std::function<Result<T>()>& work) {
    while (true) {
      std::shared_ptr<Entry> entry;
      {
        std::unique_lock lock(mutex_);
        auto found = entries_.find(key);
        if (found == entries_.end()) {
          entry = std::make_shared<Entry>();
          entries_[key] = entry;
        } else {
          entry = found->second;
          if (!landed_.wait(lock, stop, [&] { return entry->result.has_value(); })) return cancelled();
          if (is_cancelled(entry->result->status()) && !stop.stop_requested()) continue;
          return *entry->result;
        }
      }
      Result<T> result = work();
      std::lock_guard lock(mutex_);
      entry->result = result;
      entries_.erase(key);
      landed_.notify_all();
      return result;
    }
  }

 private:
  struct Entry {
    std::optional<Result<T>> result;
  };
  std::mutex mutex_;
  std::condition_variable_any landed_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace kiln::source
