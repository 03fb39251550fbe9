#include "daemon/builds.h"

#include <fmt/format.h>
#include <unistd.h>

#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "daemon/afterwords.h"
#include "daemon/flags.h"
#include "daemon/gateway.h"
#include "daemon/status_wire.h"
#include "history/history.h"
#include "observe/metrics.h"
#include "wire/stack.pb.h"

namespace kiln::daemon {
namespace {

// Long enough for a client that asks late, short enough to hold little.
constexpr auto kEndedKept = std::chrono::seconds(10);
// What follows an answer takes longer than a client's end: where they share a processor, the client goes first.
constexpr auto kCourtesy = std::chrono::milliseconds(1);

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

// gRPC's codes as Go prints them.
std::string code_name(Code code) {
  static constexpr const char* kNames[] = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  const auto index = static_cast<std::size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "Unknown";
}

}  // namespace

// ---- RunningBuild -----------------------------------------------------------------------------

RunningBuild::RunningBuild(SolveRequest request, std::shared_ptr<StatusLog> log)
    : request_(std::move(request)),
      log_(std::move(log)),
      events_(std::make_unique<BuildEvents>(log_, request_.ref, request_.trace_parent)) {}

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

void RunningBuild::keep_blobs(const std::vector<std::string>& digests) {
  std::lock_guard lock(mutex_);
  kept_.insert(kept_.end(), digests.begin(), digests.end());
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
  record.kept = kept_;
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
  auto entry = std::make_shared<Entry>();
  entry->build = std::make_shared<RunningBuild>(std::move(request),
                                                StatusLog::make(LogLimits::from_environment(), *options_.clock));
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
    live(*entry, std::move(stop), done);
    // Under the lock, so that wait_idle() cannot see the end before this thread is done with `this`.
    std::lock_guard lock(mutex_);
    --working_;
    changed_.notify_all();
  });
}

void Builds::live(Entry& entry, std::stop_token stop, const std::function<void(Result<SolveResponse>)>& done) {
  std::optional<std::stop_callback<std::function<void()>>> cancel;
  cancel.emplace(std::move(stop), [&entry] { entry.stop.request_stop(); });
  const auto answer = [&](const Result<SolveResponse>& response) {
    cancel.reset();
    {
      std::lock_guard lock(mutex_);
      entries_.erase(entry.build->ref());
      keep_ended_locked(*entry.build);
    }
    done(response);
  };
  Status opened = entry.build->status_log()->open_file(options_.spool);
  if (opened.ok()) return run(entry.build, entry.stop.get_token(), answer);
  entry.build->end();
  entry.build->status_log()->close();
  answer(opened);
}

// The record is written after the answer: what it needs beside the response is nothing to wait for.
void Builds::run(const std::shared_ptr<RunningBuild>& build, std::stop_token stop,
                 const std::function<void(const Result<SolveResponse>&)>& answer) {
  const bool recorded = options_.history != nullptr && !build->request().internal;
  history::Record record = record_of(build->request(), options_.clock->now());
  std::uint64_t watch = 0;
  if (recorded) {
    options_.history->started(record);
    watch = build->status_log()->watch([this, build = build.get()] {
      tell_progress(*build);
      return true;
    });
  }
  if (build->request().explain && options_.afterwords != nullptr) {
    build->explain_in_log([this](const event::CacheMiss& miss, const std::vector<Digest>& ran) {
      return options_.afterwords->explain(miss, ran);
    });
  }
  Result<SolveResponse> response = options_.runner->run(*build, stop);
  if (!response.ok() && stop.stop_requested() && !is_cancelled(response.status())) {
    log_debug("build '{}' ended after it was cancelled: {}", build->ref(), message_of(response.status()));
  }
  build->end();
  build->status_log()->close();
  count(*build, record.created, response.status());
  if (recorded) {
    build->status_log()->forget(watch);
    record.completed = options_.clock->now();
    options_.history->ending(build->ref());
    if (options_.afterwords != nullptr) options_.afterwords->announce(build->ref());
  }
  // Before the answer: the next build of the same client is compared with this one.
  if (options_.afterwords != nullptr) options_.afterwords->add({build, response.status(), recorded});
  answer(response);
  std::this_thread::sleep_for(kCourtesy);
  if (recorded) write_record(build, std::move(record), response);
}

void Builds::count(const RunningBuild& build, Time began, const Status& status) {
  if (options_.metrics == nullptr) return;
  const StepCounts counts = build.status_log()->counts();
  options_.metrics->build_ended({.seconds = std::chrono::duration<double>(options_.clock->now() - began).count(),
                                 .error_code = status.ok() ? "" : code_name(status.code()),
                                 .steps_total = counts.total,
                                 .steps_completed = counts.completed,
                                 .steps_cached = counts.cached,
                                 .warnings = counts.warnings});
}

void Builds::write_record(const std::shared_ptr<RunningBuild>& build, history::Record record,
                          const Result<SolveResponse>& response) {
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
  if (Status status = options_.history->completed(std::move(record)); !status.ok()) {
    log_error("record build '{}': {}", build->ref(), message_of(status));
    return;
  }
  // Whoever asks from now on is answered from the record; a kept log is an open file. That the build was here
  // stays known for a while: nobody need wait for it.
  std::lock_guard lock(mutex_);
  if (auto it = ended_.find(build->ref()); it != ended_.end() && it->second.log == build->status_log())
    it->second.log = nullptr;
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
  changed_.wait_for(lock, stop, timeout, [&] { return entries_.contains(ref) || ended_.contains(ref); });
  auto it = entries_.find(ref);
  return it == entries_.end() ? nullptr : it->second->build;
}

void Builds::keep_ended_locked(const RunningBuild& build) {
  const Time now = options_.clock->now();
  std::erase_if(ended_, [&](const auto& one) { return now - one.second.at > kEndedKept; });
  ended_[build.ref()] = {build.status_log(), now};
}

std::shared_ptr<StatusLog> Builds::status_log_locked(const std::string& ref) const {
  if (auto it = entries_.find(ref); it != entries_.end()) return it->second->build->status_log();
  auto it = ended_.find(ref);
  return it == ended_.end() ? nullptr : it->second.log;
}

std::shared_ptr<StatusLog> Builds::status_log(const std::string& ref) const {
  std::lock_guard lock(mutex_);
  return status_log_locked(ref);
}

std::shared_ptr<StatusLog> Builds::wait_for_status_log(const std::string& ref, std::stop_token stop, Duration timeout) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<StatusLog> log;
  changed_.wait_for(lock, stop, timeout, [&] { return (log = status_log_locked(ref)) != nullptr; });
  return log;
}

bool Builds::add_span(const observe::Span& span) {
  std::lock_guard lock(mutex_);
  for (const auto& [ref, entry] : entries_) {
    if (entry->build->trace().trace_id() != span.trace_id) continue;
    entry->build->trace().add(span);
    return true;
  }
  return false;
}

void Builds::each(const std::function<void(const RunningBuild&)>& look) const {
  std::lock_guard lock(mutex_);
  for (const auto& [ref, entry] : entries_) look(*entry->build);
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
