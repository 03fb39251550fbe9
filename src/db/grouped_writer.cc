#include "db/grouped_writer.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"

namespace kiln::db {

struct GroupedWriter::State {
  explicit State(Database& d) : database(d), thread([this] { loop(); }) {}

  Database& database;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::function<Status(Database&)>> waiting;
  std::uint64_t submitted = 0;
  std::uint64_t done = 0;
  Status first_error;
  bool stopping = false;
  std::jthread thread;

  void note(const Status& status) {
    log_warn("grouped write: {}", message_of(status));
    std::lock_guard guard(mutex);
    if (first_error.ok()) first_error = status;
  }

  Status run_one(const std::function<Status(Database&)>& work) {
    KILN_RETURN_IF_ERROR(database.run("SAVEPOINT piece"));
    Status status = work(database);
    if (!status.ok()) (void)database.run("ROLLBACK TO piece");
    (void)database.run("RELEASE piece");
    return status;
  }

  void run_batch(const std::vector<std::function<Status(Database&)>>& batch) {
    Status status = database.write([&](Database&) {
      for (const auto& work : batch) {
        if (Status one = run_one(work); !one.ok()) note(one);
      }
      return ok();
    });
    if (!status.ok()) note(status);
  }

  void loop() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return stopping || !waiting.empty(); });
      if (waiting.empty()) return;
      auto batch = std::exchange(waiting, {});
      lock.unlock();
      run_batch(batch);
      lock.lock();
      done += batch.size();
      changed.notify_all();
    }
  }
};

GroupedWriter::GroupedWriter(Database& database) : state_(std::make_unique<State>(database)) {}

GroupedWriter::~GroupedWriter() {
  {
    std::lock_guard guard(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

void GroupedWriter::submit(std::function<Status(Database&)> work) {
  {
    std::lock_guard guard(state_->mutex);
    state_->waiting.push_back(std::move(work));
    ++state_->submitted;
  }
  state_->changed.notify_all();
}

Status GroupedWriter::flush() {
  std::unique_lock lock(state_->mutex);
  std::uint64_t target = state_->submitted;
  state_->changed.wait(lock, [&] { return state_->done >= target; });
  return std::exchange(state_->first_error, ok());
}

}  // namespace kiln::db
