#include "event/event.h"

namespace kiln::event {
namespace {

class NullReporter final : public Reporter {
 public:
  void log(LogStream, std::string_view) override {}
  void status(VertexStatus) override {}
  void warn(VertexWarning) override {}
};

constexpr auto kTellEvery = std::chrono::milliseconds(100);

}  // namespace

Reporter& null_reporter() {
  static NullReporter reporter;
  return reporter;
}

Phase::Phase(Reporter& reporter, std::string id, std::int64_t total) : reporter_(reporter) {
  status_.id = std::move(id);
  status_.total = total;
  status_.started = status_.timestamp = told_ = system_clock().now();
  reporter_.status(status_);
}

Phase::~Phase() { done(); }

void Phase::advance_to(std::int64_t current) {
  status_.current = current;
  Time now = system_clock().now();
  if (now - told_ < kTellEvery) return;
  told_ = status_.timestamp = now;
  reporter_.status(status_);
}

void Phase::done() {
  if (done_) return;
  done_ = true;
  if (status_.total > 0 && status_.current == 0) status_.current = status_.total;
  status_.completed = status_.timestamp = system_clock().now();
  reporter_.status(status_);
}

}  // namespace kiln::event
