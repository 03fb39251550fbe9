// What stands behind a ProcessControl: a small mailbox that the running side empties.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "host/wake.h"
#include "sandbox/runtime.h"

namespace kiln::sandbox {

inline constexpr std::size_t kStdinWaitingMax = 1u << 20;

// Any thread.
struct ProcessControl::State {
  host::Wake wake;  // rung at every change
  std::mutex mutex;
  std::condition_variable room;
  std::deque<std::string> input;
  std::size_t input_bytes = 0;
  bool input_closed = false;  // by the writer
  bool ended = false;         // the process takes no more
  std::vector<int> signals;
  std::optional<std::pair<unsigned, unsigned>> size;

  void end() {
    std::lock_guard lock(mutex);
    ended = true;
    input.clear();
    input_bytes = 0;
    room.notify_all();
  }
};

}  // namespace kiln::sandbox
