#include "host/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "base/check.h"

namespace kiln::host {

Poller::Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_.valid() || !wake_.valid()) return;  // watch() tells
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 0;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

Poller::~Poller() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_.get(), &one, sizeof one);
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();  // the last owner was a callback of ours; run() ends right after it
  }
}

Result<std::uint64_t> Poller::watch(int fd, std::shared_ptr<Pollee> pollee) {
  if (!epoll_.valid() || !wake_.valid()) {
    return environment_error(Code::kResourceExhausted, "no descriptor left for polling; raise the limit of open files");
  }
  std::uint64_t name;
  {
    std::lock_guard lock(mutex_);
    name = next_++;
    pollees_.emplace(name, std::move(pollee));
  }
  epoll_event event{};
  event.events = EPOLLONESHOT;
  event.data.u64 = name;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    int error = errno;
    std::lock_guard lock(mutex_);
    pollees_.erase(name);
    return errno_error(error, "poll a session's socket");
  }
  return name;
}

void Poller::arm(std::uint64_t watch, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events | EPOLLONESHOT;
  event.data.u64 = watch;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::keep_armed(std::uint64_t watch, int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = watch;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::forget(std::uint64_t watch, int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  std::shared_ptr<Pollee> dropped;  // destroyed outside the lock
  std::lock_guard lock(mutex_);
  if (auto it = pollees_.find(watch); it != pollees_.end()) {
    dropped = std::move(it->second);
    pollees_.erase(it);
  }
}

void Poller::run(std::stop_token stop) {
  // Held by value: a callback may drop the last reference to this object.
  epoll_event events[64];
  const int epoll = epoll_.get();
  while (!stop.stop_requested()) {
    int count = epoll_wait(epoll, events, 64, -1);
    if (count < 0 && errno != EINTR) return;
    for (int i = 0; i < count && !stop.stop_requested(); ++i) {
      std::shared_ptr<Pollee> pollee;
      if (events[i].data.u64 != 0) {
        std::lock_guard lock(mutex_);
        if (auto it = pollees_.find(events[i].data.u64); it != pollees_.end()) pollee = it->second;
      }
      if (pollee) pollee->on_ready(events[i].events);
    }
  }
}

}  // namespace kiln::host
