// Which architectures' programs this machine runs, by running one of each: a program of a few dozen
// bytes that ends at once, alone in an empty root, so that an interpreter counts only when the kernel
// holds it open for containers, too (binfmt_misc with the flag F).
//
//   Architectures architectures(std::chrono::seconds(20));
//   for (const Platform& platform : architectures.platforms()) …
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/platform.h"
#include "base/status.h"

namespace kiln::sandbox {

// Architectures as images name them that this machine is asked about.
std::vector<std::string_view> known_architectures();
// The program; empty for an architecture that is not known.
std::string tiny_program(std::string_view architecture);
// Whether it ran. Blocks for a millisecond.
bool runs(std::string_view architecture);

// Any thread. Remembers what it found for as long as it was told; negative: for ever.
class Architectures {
 public:
  explicit Architectures(std::chrono::nanoseconds age_max) : age_max_(age_max) {}
  // The machine's own platform first, then levels of it, then what is emulated.
  std::vector<Platform> platforms() const;
  // Whether programs for the platform run without help of ours.
  bool can_run(const Platform& platform) const;

 private:
  const std::chrono::nanoseconds age_max_;
  mutable std::mutex mutex_;
  mutable std::vector<Platform> found_;
  mutable std::chrono::steady_clock::time_point found_at_{};
};

}  // namespace kiln::sandbox
