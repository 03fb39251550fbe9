#include "daemon/build_events.h"

#include <fmt/format.h>

namespace kiln::daemon {

void BuildEvents::on(const event::Vertex& vertex) {
  if (vertex.completed && !vertex.error.empty()) {
    std::lock_guard lock(mutex_);
    failed_.insert(vertex.digest);
  }
  trace_.on(vertex);
  log_->on(vertex);
}

void BuildEvents::on(const event::VertexStatus& status) {
  trace_.on(status);
  log_->on(status);
}

void BuildEvents::on(const event::VertexLog& log) { log_->on(log); }
void BuildEvents::on(const event::VertexWarning& warning) { log_->on(warning); }

void BuildEvents::on(const event::CacheMiss& miss) {
  std::vector<Digest> ran;
  {
    std::lock_guard lock(mutex_);
    if (explain_) {
      for (const auto& earlier : misses_) ran.push_back(earlier.vertex);
    }
    misses_.push_back(miss);
  }
  if (explain_) tell_reason(miss, ran);
}

void BuildEvents::tell_reason(const event::CacheMiss& miss, const std::vector<Digest>& ran) {
  const history::MissReport report = explain_(miss, ran);
  std::string text;
  for (const std::string& line : history::report_lines(report)) text += fmt::format("cache miss: {}\n", line);
  log_->on(event::VertexLog{miss.vertex, event::LogStream::kStderr, system_clock().now(), std::move(text)});
}

BuildEvents::Misses BuildEvents::take_misses() {
  std::lock_guard lock(mutex_);
  return {std::move(misses_), std::move(failed_)};
}

}  // namespace kiln::daemon
