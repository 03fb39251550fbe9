// The containers that run at this moment, by id, so that further processes can join them.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// What a joining process needs to know of the first one. Immutable once running.
struct RunningContainer {
  int pid = -1;
  int pidfd = -1;               // valid while the lock below is held for reading or the run lasts
  std::vector<int> cgroup_fds;  // duplicates; closed with this
  std::vector<std::string> env;
  std::string cwd;
  SecurityMode security = SecurityMode::kSandbox;
  RunningContainer() = default;
  ~RunningContainer();
  RunningContainer(const RunningContainer&) = delete;
  RunningContainer& operator=(const RunningContainer&) = delete;
};

// Any thread.
class RunningContainers {
 public:
  // AlreadyExists when the id runs or is about to.
  Status announce(const std::string& id);
  void started(const std::string& id, std::shared_ptr<const RunningContainer> container);
  void ended(const std::string& id);
  // Waits for an announced container to start. NotFound when it is unknown or has ended.
  Result<std::shared_ptr<const RunningContainer>> find(const std::string& id, std::stop_token stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::shared_ptr<const RunningContainer>> containers_;  // null: not started yet
};

// Announced for the life of this.
class Announcement {
 public:
  Announcement(RunningContainers& all, std::string id) : all_(all), id_(std::move(id)) {}
  ~Announcement() { all_.ended(id_); }
  Announcement(const Announcement&) = delete;
  Announcement& operator=(const Announcement&) = delete;

 private:
  RunningContainers& all_;
  std::string id_;
};

}  // namespace kiln::sandbox
