// Room that is set aside while there is plenty, so that a full disk can be emptied again: removing
// records needs a few pages of database before it gives anything back.
//
//   SpaceReserve reserve("/var/lib/kiln/reserve");
//   { SpaceReserve::Loan loan = reserve.lend(); … remove things … }
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace kiln::host {

// A preallocated file. Owner: the daemon, one a root directory. Any thread. Never fails: without a
// reserve a full disk is only harder to clear.
class SpaceReserve {
 public:
  static constexpr std::int64_t kBytes = 4 << 20;

  explicit SpaceReserve(std::string path) : path_(std::move(path)) {}
  SpaceReserve(const SpaceReserve&) = delete;
  SpaceReserve& operator=(const SpaceReserve&) = delete;

  // While one lives, the reserved bytes are free if the disk is nearly full. The last one to go sets
  // aside again what there is room for.
  class Loan {
   public:
    explicit Loan(SpaceReserve& reserve) : reserve_(&reserve) {}
    Loan(Loan&& other) noexcept : reserve_(std::exchange(other.reserve_, nullptr)) {}
    Loan& operator=(Loan&&) = delete;
    ~Loan() {
      if (reserve_) reserve_->take_back();
    }

   private:
    SpaceReserve* reserve_;
  };
  [[nodiscard]] Loan lend();

 private:
  void take_back();
  bool scarce() const;

  std::string path_;
  std::mutex mutex_;
  int loans_ = 0;
};

}  // namespace kiln::host
