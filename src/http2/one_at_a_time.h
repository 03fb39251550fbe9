// Work that many threads call for, done by one of them at a time, and nobody waits: who comes while it is
// being done has it done once more by the one who does it. For callbacks that may call each other.
#pragma once

#include <atomic>

namespace kiln::http2 {

// Any thread.
class OneAtATime {
 public:
  template <typename Work>
  void run(Work work) {
    if (wanted_.fetch_add(1) > 0) return;
    unsigned seen;
    do {
      seen = wanted_.load();
      work();
    } while (!wanted_.compare_exchange_strong(seen, 0));
  }

 private:
  std::atomic<unsigned> wanted_{0};
};

}  // namespace kiln::http2
