// What was pushed where lately: so that the same again, or almost the same, need not ask for each blob.
// Private to the room's client.
//
// A manifest that this client pushed, and that still stands at its reference, keeps what it names from
// being collected; and each of its blobs was seen in the repository by us, not longer ago than five minutes:
// whoever pushes the same again after that finds out what the registry lost, though its manifest stands.
#pragma once

#include <list>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "registry/client.h"

namespace kiln::registry {

// Any thread. Holds at most `kBlobsMax` digests; the oldest pushes are forgotten first.
class PushMemory {
 public:
  static constexpr Duration kAgeMax = std::chrono::minutes(5);
  static constexpr std::size_t kBlobsMax = 10'000;

  explicit PushMemory(Clock& clock) : clock_(clock) {}

  // `repository` is where it went: host and path.
  void remember(const std::string& repository, Standing pushed);
  // Whether anything is known about the repository: else there is no use in asking what stands there.
  bool knows(const std::string& repository);
  // Nothing (an empty `manifest`) when that manifest is unknown or was seen too long ago.
  Standing find(const std::string& repository, const Digest& manifest);
  // The repository has lost a blob: what is known of pushes with it is worth nothing.
  void forget(const std::string& repository, const Digest& blob);
  // The repository is not what it was: everything about it.
  void forget(const std::string& repository);

 private:
  struct Entry {
    std::string repository;
    Standing pushed;
  };
  bool is_fresh(const Entry& entry) const {
    return clock_.now() - entry.pushed.seen < kAgeMax && entry.pushed.seen <= clock_.now();
  }
  void trim();

  Clock& clock_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // newest first
};

}  // namespace kiln::registry
