// Layers of a cache go out while others are still found and made.
//
//   Sending sending(pool, 4, [&](const store::LayerBlob& layer) { return target.put_blob(…); });
//   sending.add(layer); …
//   KILN_RETURN_IF_ERROR(sending.finish());
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "base/pool.h"
#include "base/status.h"
#include "store/tree.h"

namespace kiln::remotecache {

// add() and finish() by one thread; `send` is called by several.
class Sending {
 public:
  using Send = std::function<Status(const store::LayerBlob& layer)>;

  // A null pool sends all in finish().
  Sending(Pool* pool, std::size_t at_once, Send send) : pool_(pool), at_once_(at_once), send_(std::move(send)) {}
  // Waits for what was begun; begins nothing more.
  ~Sending();
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;

  // Never blocks. After a failure nothing is sent any more.
  void add(store::LayerBlob layer);
  // Waits for all; the first failure.
  Status finish();

 private:
  void work();

  Pool* const pool_;
  const std::size_t at_once_;
  const Send send_;
  std::mutex mutex_;  // over the rest
  std::condition_variable changed_;
  std::deque<store::LayerBlob> waiting_;
  std::size_t workers_ = 0;
  Status failure_;
};

}  // namespace kiln::remotecache
