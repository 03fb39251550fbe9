// epoll: one thread that waits for many sockets. Connections idle for minutes; none of them may cost a
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::host {

// Told that its socket is ready. Called from the polling thread, one call at a time a socket; must
// not block.
class Pollee {
 public:
  virtual ~Pollee() = default;
  virtual void on_ready(std::uint32_t events) = 0;
};

// Any thread. Sockets must be non-blocking. The owner of a socket forgets it before closing it.
class Poller {
 public:
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Gives the watch's name. Before arm() at most a hang-up is told.
  Result<std::uint64_t> watch(int fd, std::shared_ptr<Pollee> pollee);
  // The next of these events (EPOLLIN, EPOLLOUT; errors and hang-ups come with either) is told, once.
  void arm(std::uint64_t watch, int fd, std::uint32_t events);
  // They are told as long as they last, until this is called again.
  void keep_armed(std::uint64_t watch, int fd, std::uint32_t events);
  // Nothing is told any more, except what is being told right now.
  void forget(std::uint64_t watch, int fd);

 private:
  void run(std::stop_token stop);

  Fd epoll_;
  Fd wake_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Pollee>> pollees_;
  std::uint64_t next_ = 1;
  std::jthread thread_;
};

}  // namespace kiln::host
