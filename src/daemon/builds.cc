#include "daemon/builds.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "daemon/build_trace.h"
#include "daemon/flags.h"
#include "daemon/gateway.h"
#include "daemon/status_wire.h"
#include "history/history.h"
#include "wire/stack.pb.h"

namespace kiln::daemon {
namespace {

constexpr std::size_t kEndedMax = 64;

history::Record record_of(const SolveRequest& request, Time now) {
  history::Record record;
  record.ref = request.ref;
  record.frontend = request.frontend;
  record.frontend_attrs = request.frontend_attrs;
  for (const ExporterSpec& exporter : request.exporters) record.exporters.push_back({exporter.type, exporter.attrs});
  record.created = now;
  return record;
}

// Which program of which version recorded the error, as clients show it with --debug.
void add_program(Status& status) {
  stack::Stack program;
  const std::string version = version_text("kilnd");
  const std::vector<std::string_view> words = split(version, ' ');
  if (words.size() > 2) program.set_version(std::string(words[2]));
  if (words.size() > 3) program.set_revision(std::string(words[3]));
  program.add_cmdline("kilnd");
  program.set_pid(getpid());
  stack::Frame& frame = *program.add_frames();
  frame.set_name("kiln::daemon::Builds::run");
  frame.set_file("src/daemon/builds.cc");
  frame.set_line(__LINE__);
  add_detail(status, kDetailStack, program.SerializeAsString());
}

void keep_trace(const SolveRequest& request, StatusLog& log, history::History& history, history::Record& record) {
  StringSource bytes(build_trace(record, request.trace_parent, log));
  auto blob = history.write_blob(history::kTraceMediaType, bytes);
  if (blob.ok()) {
    record.trace = std::move(blob).value();
  } else {
    log_warn("keep the trace of build '{}': {}", record.ref, message_of(blob.status()));
  }
}

void describe_error(const Status& status, history::History& history, history::Record& record) {
  record.error = history::Error{static_cast<int>(status.code()), std::string(message_of(status))};
  Status full = status;
  add_program(full);
  StringSource bytes(to_bytes(full));
  auto blob = history.write_blob(history::kErrorMediaType, bytes);
  if (blob.ok()) {
    record.external_error = std::move(blob).value();
  } else {
    log_warn("keep the error of build '{}': {}", record.ref, message_of(blob.status()));
  }
}

}  // namespace

// ---- RunningBuild -----------------------------------------------------------------------------

RunningBuild::RunningBuild(SolveRequest request, std::shared_ptr<StatusLog> log)
    : request_(std::move(request)), log_(std::move(log)) {}

void RunningBuild::serve(std::shared_ptr<Gateway> gateway) {
  std::lock_guard lock(mutex_);
  gateway_ = std::move(gateway);
  changed_.notify_all();
}

std::shared_ptr<Gateway> RunningBuild::wait_for_gateway(std::stop_token stop, Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, timeout, [&] { return gateway_ != nullptr || ended_; });
  return gateway_;
}

void RunningBuild::add_result(std::int64_t exporter_index, history::Descriptor descriptor) {
  std::lock_guard lock(mutex_);
  if (!result_) result_.emplace();
  result_->results[exporter_index] = std::move(descriptor);
}

void RunningBuild::add_attestation(const std::string& platform, history::Descriptor descriptor) {
  std::lock_guard lock(mutex_);
  if (platform.empty()) {
    if (!result_) result_.emplace();
    result_->attestations.push_back(std::move(descriptor));
  } else {
    results_[platform].attestations.push_back(std::move(descriptor));
  }
}

void RunningBuild::set_trace(history::Descriptor descriptor) {
  std::lock_guard lock(mutex_);
  trace_ = std::move(descriptor);
}

void RunningBuild::add_afterwards(std::function<Status()> find_out) {
  std::lock_guard lock(mutex_);
  afterwards_.push_back(std::move(find_out));
}

Status RunningBuild::run_afterwards() {
  std::vector<std::function<Status()>> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(afterwards_);
  }
  Status first;
  for (const auto& task : tasks) {
    if (Status status = task(); !status.ok() && first.ok()) first = status;
  }
  return first;
}

void RunningBuild::fill(history::Record& record) const {
  std::lock_guard lock(mutex_);
  record.result = result_;
  record.results = results_;
  record.trace = trace_;
  const StepCounts counts = log_->counts();
  record.total_steps = counts.total;
  record.completed_steps = counts.completed;
  record.cached_steps = counts.cached;
  record.warnings = counts.warnings;
}

void RunningBuild::end() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  gateway_ = nullptr;
  changed_.notify_all();
}

// ---- Builds -----------------------------------------------------------------------------------

struct Builds::Entry {
  std::shared_ptr<RunningBuild> build;
  std::stop_source stop;
};

Builds::Builds(BuildsOptions options) : options_(std::move(options)) {
  if (options_.clock == nullptr) options_.clock = &system_clock();
}

Builds::~Builds() {
  drain();
  cancel_all();
  wait_idle();
}

void Builds::solve(SolveRequest request, std::stop_token stop, std::function<void(Result<SolveResponse>)> done) {
  const std::string ref = request.ref;
  auto log = StatusLog::open(options_.spool, LogLimits::from_environment(), *options_.clock);
  if (!log.ok()) return done(log.status());
  auto entry = std::make_shared<Entry>();
  entry->build = std::make_shared<RunningBuild>(std::move(request), std::move(log).value());
  {
    std::lock_guard lock(mutex_);
    Status refused;
    if (draining_) {
      refused = environment_error(Code::kUnavailable, "the daemon is shutting down");
    } else if (!entries_.emplace(ref, entry).second) {
      refused = user_error(Code::kAlreadyExists, fmt::format("job ID {} exists", ref));
    }
    if (!refused.ok()) {
      // `done` may take locks of its own.
      options_.pool->submit([done = std::move(done), refused] { done(refused); });
      return;
    }
    ++working_;
    changed_.notify_all();
  }
  options_.pool->submit([this, entry, stop = std::move(stop), done = std::move(done)] {
    std::optional<std::stop_callback<std::function<void()>>> cancel;
    cancel.emplace(stop, [entry] { entry->stop.request_stop(); });
    run(entry->build, entry->stop.get_token(), [&](const Result<SolveResponse>& response) {
      cancel.reset();
      {
        std::lock_guard lock(mutex_);
        entries_.erase(entry->build->ref());
        ended_.push_back(entry->build->ref());
        if (ended_.size() > kEndedMax) ended_.pop_front();
      }
      done(response);
    });
    // Under the lock, so that wait_idle() cannot see the end before this thread is done with `this`.
    std::lock_guard lock(mutex_);
    --working_;
    changed_.notify_all();
  });
}

// The record is written after the answer: what it needs beside the response is nothing to wait for.
void Builds::run(const std::shared_ptr<RunningBuild>& build, std::stop_token stop,
                 const std::function<void(const Result<SolveResponse>&)>& answer) {
  const bool recorded = options_.history != nullptr && !build->request().internal;
  history::Record record = record_of(build->request(), options_.clock->now());
  std::uint64_t watch = 0;
  if (recorded) {
    options_.history->started(record);
    watch = build->status_log()->watch([this, build = build.get()] { tell_progress(*build); });
  }
  Result<SolveResponse> response = options_.runner->run(*build, stop);
  if (!response.ok() && stop.stop_requested() && !is_cancelled(response.status())) {
    log_debug("build '{}' ended after it was cancelled: {}", build->ref(), message_of(response.status()));
  }
  build->end();
  build->status_log()->close();
  if (!recorded) return answer(response);
  build->status_log()->forget(watch);

  record.completed = options_.clock->now();
  options_.history->ending(build->ref());
  answer(response);
  if (Status status = build->run_afterwards(); !status.ok()) {
    log_warn("describe build '{}': {}", build->ref(), message_of(status));
  }
  build->fill(record);
  std::unique_ptr<ByteSource> log = build->status_log()->source();
  if (auto logs = options_.history->write_blob(history::kStatusMediaType, *log); logs.ok()) {
    record.logs = std::move(logs).value();
  } else {
    log_warn("keep the log of build '{}': {}", build->ref(), message_of(logs.status()));
  }
  if (response.ok()) {
    record.exporter_response = response->exporter_response;
  } else {
    describe_error(response.status(), *options_.history, record);
  }
  if (!record.trace) keep_trace(build->request(), *build->status_log(), *options_.history, record);
  if (Status status = options_.history->completed(std::move(record)); !status.ok()) {
    log_error("record build '{}': {}", build->ref(), message_of(status));
  }
}

void Builds::tell_progress(RunningBuild& build) {
  options_.history->progress(build.ref(), [&] {
    const StepCounts counts = build.status_log()->counts();
    return history::StepProgress{counts.total, counts.completed, counts.cached, counts.warnings};
  });
}

std::shared_ptr<RunningBuild> Builds::find(const std::string& ref) const {
  std::lock_guard lock(mutex_);
  auto it = entries_.find(ref);
  return it == entries_.end() ? nullptr : it->second->build;
}

std::shared_ptr<RunningBuild> Builds::wait(const std::string& ref, std::stop_token stop, Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, timeout, [&] {
    return entries_.contains(ref) || std::find(ended_.begin(), ended_.end(), ref) != ended_.end();
  });
  auto it = entries_.find(ref);
  return it == entries_.end() ? nullptr : it->second->build;
}

int Builds::running() const {
  std::lock_guard lock(mutex_);
  return working_;
}

void Builds::drain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
}

void Builds::cancel_all() {
  std::vector<std::shared_ptr<Entry>> entries;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [ref, entry] : entries_) entries.push_back(entry);
  }
  for (const auto& entry : entries) entry->stop.request_stop();
}

void Builds::wait_idle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return working_ == 0; });
}

}  // namespace kiln::daemon
