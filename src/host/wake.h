// An eventfd that one thread polls and others ring.
//
//   Wake wake; std::stop_callback ring(stop, [&] { wake.ring(); });
//   poll({wake.fd(), POLLIN}); wake.clear();
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "host/fd.h"

namespace kiln::host {

// Any thread.
class Wake {
 public:
  Wake() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  int fd() const { return fd_.get(); }
  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] auto written = ::write(fd_.get(), &one, sizeof one);
  }
  void clear() const {
    std::uint64_t count = 0;
    [[maybe_unused]] auto taken = ::read(fd_.get(), &count, sizeof count);
  }

 private:
  Fd fd_;
};

}  // namespace kiln::host
