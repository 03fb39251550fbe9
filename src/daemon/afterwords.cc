#include "daemon/afterwords.h"

#include <fmt/format.h>

#include "base/log.h"

namespace kiln::daemon {
namespace {

constexpr auto kSettlePatience = std::chrono::seconds(2);

Result<std::optional<history::Descriptor>> write_text(history::History& history, const char* media_type,
                                                      std::string text) {
  if (text.empty()) return std::optional<history::Descriptor>();
  StringSource bytes(std::move(text));
  KILN_ASSIGN_OR_RETURN(history::Descriptor blob, history.write_blob(media_type, bytes));
  return std::optional(std::move(blob));
}

}  // namespace

Afterwords::Afterwords(AfterwordsOptions options)
    : options_(options), thread_([this](std::stop_token stop) { work(stop); }) {}

Afterwords::~Afterwords() {
  thread_.request_stop();
  thread_.join();
}

void Afterwords::announce(const std::string& ref) {
  options_.history->set_finalizer(ref, [this, ref] {
    std::lock_guard lock(mutex_);
    for (auto* list : {&fresh_, &waiting_}) {
      for (Waiting& one : *list) {
        if (one.ended.build->ref() == ref) one.due = {};
      }
    }
    changed_.notify_all();
  });
}

void Afterwords::add(Ended ended) {
  std::lock_guard lock(mutex_);
  ++remembering_;
  fresh_.push_back({std::move(ended), {}, std::chrono::steady_clock::now() + options_.trace_patience});
  changed_.notify_all();
}

void Afterwords::settle() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kSettlePatience, [&] { return remembering_ == 0; });
}

history::MissReport Afterwords::explain(const event::CacheMiss& miss, const std::vector<Digest>& ran) {
  settle();
  return options_.book != nullptr ? options_.book->explain(miss, ran) : history::compare(miss, nullptr, ran);
}

bool Afterwords::add_span(const observe::Span& span) {
  std::lock_guard lock(mutex_);
  for (auto* list : {&fresh_, &waiting_}) {
    for (Waiting& one : *list) {
      observe::BuildTrace& trace = one.ended.build->trace();
      if (trace.trace_id() != span.trace_id) continue;
      trace.add(span);
      return true;
    }
  }
  return false;
}

void Afterwords::send(std::vector<observe::Span> spans) {
  if (options_.exporter == nullptr) return;
  std::lock_guard lock(mutex_);
  outgoing_.insert(outgoing_.end(), std::make_move_iterator(spans.begin()), std::make_move_iterator(spans.end()));
  changed_.notify_all();
}

void Afterwords::work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto now = std::chrono::steady_clock::now();
    if (!fresh_.empty()) {
      Waiting one = std::move(fresh_.front());
      fresh_.pop_front();
      waiting_.push_back(std::move(one));
      Waiting& kept = waiting_.back();  // stays put: only this thread removes
      lock.unlock();
      remember(kept);
      lock.lock();
      --remembering_;
      changed_.notify_all();
    } else if (!outgoing_.empty()) {
      std::vector<observe::Span> spans = std::exchange(outgoing_, {});
      lock.unlock();
      options_.exporter->send(spans);
      lock.lock();
    } else if (auto due = std::find_if(waiting_.begin(), waiting_.end(),
                                       [&](const Waiting& one) { return stop.stop_requested() || one.due <= now; });
               due != waiting_.end()) {
      Waiting one = std::move(*due);
      waiting_.erase(due);
      lock.unlock();
      write(one);
      lock.lock();
    } else if (stop.stop_requested()) {
      return;
    } else {
      const auto changed = [&] {
        return !fresh_.empty() || !outgoing_.empty() ||
               std::any_of(waiting_.begin(), waiting_.end(),
                           [](const Waiting& one) { return one.due == std::chrono::steady_clock::time_point{}; });
      };
      if (waiting_.empty()) {
        changed_.wait(lock, stop, changed);
      } else {
        changed_.wait_until(lock, stop, waiting_.front().due, changed);
      }
    }
  }
}

// Compares each run with earlier ones, then keeps it for later ones.
void Afterwords::remember(Waiting& one) {
  if (options_.book == nullptr) return;
  BuildEvents::Misses misses = one.ended.build->take_misses();
  std::vector<Digest> ran;
  for (const auto& miss : misses.all) {
    one.reports.push_back(options_.book->explain(miss, ran));
    ran.push_back(miss.vertex);
  }
  std::erase_if(misses.all, [&](const event::CacheMiss& miss) { return misses.failed.contains(miss.vertex); });
  options_.book->remember(one.ended.build->ref(), misses.all);
  if (options_.metrics != nullptr) {
    std::map<std::string, int> verdicts;
    for (const auto& report : one.reports) ++verdicts[std::string(history::verdict_name(report.verdict))];
    options_.metrics->steps_missed(verdicts);
  }
}

void Afterwords::write(Waiting& one) {
  std::vector<observe::Span> spans = one.ended.build->trace().finish(one.ended.status);
  if (one.ended.recorded) {
    const std::string& ref = one.ended.build->ref();
    if (Status status = write_record(one, spans); !status.ok() && !absl::IsNotFound(status)) {
      log_warn("add to the record of build '{}': {}", ref, message_of(status));
    }
    options_.history->finalizer_done(ref);
  }
  if (options_.exporter != nullptr) options_.exporter->send(spans);
}

Status Afterwords::write_record(Waiting& one, std::vector<observe::Span> spans) {
  history::History& history = *options_.history;
  KILN_ASSIGN_OR_RETURN(auto trace, write_text(history, history::kTraceMediaType, observe::span_stubs_json(spans)));
  KILN_ASSIGN_OR_RETURN(auto misses, write_text(history, history::kMissesMediaType, history::misses_json(one.reports)));
  return history.update(one.ended.build->ref(), [&](history::Record& record) {
    record.trace = trace;
    if (record.logs && misses) record.logs->annotations[history::kMissesAnnotation] = misses->digest;
  });
}

}  // namespace kiln::daemon
