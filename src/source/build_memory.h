// What a build has already seen of the outside world stays what it saw: a URL or a branch that a
// frontend asked about is the same when the graph uses it, whatever happened at the server meanwhile.
// A build is known by its client's session; what it saw is forgotten when the session ends.
//
//   if (auto seen = memory.find(asker.sessions, key)) return *seen;
//   memory.keep(asker, key, found);
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "session/session.h"
#include "source/source.h"

namespace kiln::source {

// Any thread. T is copyable.
template <typename T>
class BuildMemory {
 public:
  std::optional<T> find(const session::SessionGroup& sessions, const std::string& key) const {
    std::lock_guard guard(state_->mutex);
    for (const std::string& id : sessions.ids()) {
      auto of_session = state_->seen.find(id);
      if (of_session == state_->seen.end()) continue;
      if (auto found = of_session->second.find(key); found != of_session->second.end()) return found->second;
    }
    return std::nullopt;
  }

  // For every session of the asker that is attached; for others nothing is kept.
  void keep(const Asker& asker, const std::string& key, const T& value) {
    for (const std::string& id : asker.sessions.ids()) {
      bool known = false;
      {
        std::lock_guard guard(state_->mutex);
        auto found = state_->seen.find(id);
        known = found != state_->seen.end();
        if (known) found->second.insert_or_assign(key, value);
      }
      if (known) continue;
      Result<std::shared_ptr<session::Session>> session = asker.sessions.get(id, asker.stop);
      if (!session.ok() || (*session)->closed()) continue;
      {
        std::lock_guard guard(state_->mutex);
        state_->seen[id].insert_or_assign(key, value);
      }
      (*session)->on_close([weak = std::weak_ptr(state_), id] {
        if (auto state = weak.lock()) state->forget(id);
      });
    }
  }

 private:
  struct State {
    // What was seen may hold trees; they are let go outside the lock.
    void forget(const std::string& id) {
      std::map<std::string, T> gone;
      std::lock_guard guard(mutex);
      if (auto found = seen.find(id); found != seen.end()) {
        gone.swap(found->second);
        seen.erase(found);
      }
    }
    std::mutex mutex;
    std::map<std::string, std::map<std::string, T>> seen;  // by session, then by key
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace kiln::source
