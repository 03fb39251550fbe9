// Runs a view on a thread of its own, so that neither the network nor the screen waits for the
// other.
//
//   ViewPump pump(std::move(view));
//   pump.push(update);   // any thread
//   pump.finish();       // shows what is left; once
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "client/progress.h"

namespace kiln::client {

class ViewPump {
 public:
  explicit ViewPump(std::unique_ptr<ProgressView> view, Duration tick = std::chrono::milliseconds(150));
  ~ViewPump();
  void push(ProgressUpdate update);
  // Blocks until all is shown.
  void finish();

 private:
  void run(std::stop_token stop);

  std::unique_ptr<ProgressView> view_;
  Duration tick_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<ProgressUpdate> updates_;
  bool finished_ = false;
  std::jthread thread_;
};

// The tick that TTY_DISPLAY_RATE asks for, or the usual.
Duration tick_of(const EnvironmentLookup& environment);

}  // namespace kiln::client
