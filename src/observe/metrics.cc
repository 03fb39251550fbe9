#include "observe/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace kiln::observe {
namespace {

const std::vector<double> kBuildBounds = {0.05, 0.1, 0.25, 0.5, 1,    2.5,  5,    10,   25,
                                          50,   100, 250,  500, 1000, 2500, 5000, 10000};

std::string escaped(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

void head(std::string& out, std::string_view name, std::string_view help, std::string_view type) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void counters(std::string& out, std::string_view name, std::string_view help,
              const std::map<std::string, std::uint64_t>& series) {
  head(out, name, help, "counter");
  for (const auto& [labels, value] : series) out += fmt::format("{}{{{}}} {}\n", name, labels, value);
}

}  // namespace

void Metrics::Histogram::add(const std::vector<double>& bounds, double value) {
  buckets.resize(bounds.size());
  for (std::size_t i = 0; i < bounds.size(); ++i) buckets[i] += value <= bounds[i] ? 1 : 0;
  sum += value;
  ++count;
}

std::string Metrics::labels_text(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels)
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", name, escaped(value));
  return out;
}

void Metrics::print(std::string& out, std::string_view name, const std::string& labels,
                    const std::vector<double>& bounds, const Histogram& histogram) {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, bounds[i], histogram.buckets[i]);
  }
  out += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels, histogram.count);
  out += fmt::format("{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, labels, histogram.sum, histogram.count);
}

void Metrics::build_ended(const EndedBuild& build) {
  std::lock_guard lock(mutex_);
  const std::string status = build.error_code.empty() ? "success" : "failure";
  Labels labels = {{"status", status}};
  durations_[labels_text(labels)].add(kBuildBounds, build.seconds);
  if (!build.error_code.empty()) labels.insert(labels.begin(), {"error_code", build.error_code});
  ++builds_[labels_text(labels)];
  const auto count = [&](const char* kind, int by) {
    steps_[labels_text({{"kind", kind}})] += static_cast<std::uint64_t>(std::max(by, 0));
  };
  count("completed", build.steps_completed);
  count("cached", build.steps_cached);
  count("total", build.steps_total);
  count("warnings", build.warnings);
}

void Metrics::steps_missed(const std::map<std::string, int>& by_verdict) {
  std::lock_guard lock(mutex_);
  for (const auto& [verdict, by] : by_verdict)
    misses_[labels_text({{"reason", verdict}})] += static_cast<std::uint64_t>(by);
}

std::string Metrics::text(const std::vector<Gauge>& gauges) const {
  std::lock_guard lock(mutex_);
  std::string out;
  counters(out, "buildkit_builds_total",
           "Number of builds completed, labeled by status, and (on failure) gRPC error code.", builds_);
  counters(out, "buildkit_builds_steps_total", "Steps of builds by kind (completed, cached, total, warnings).", steps_);
  counters(out, "kiln_cache_misses_total",
           "Steps that ran, by why they were not found (first, changed, follows, removed, ignored).", misses_);
  head(out, "buildkit_build_duration_seconds", "Wall-clock duration of builds.", "histogram");
  for (const auto& [labels, histogram] : durations_)
    print(out, "buildkit_build_duration_seconds", labels, kBuildBounds, histogram);
  for (const Gauge& gauge : gauges) {
    head(out, gauge.name, gauge.help, gauge.name.ends_with("_total") ? "counter" : "gauge");
    out += fmt::format("{} {}\n", gauge.name, gauge.value);
  }
  return out;
}

}  // namespace kiln::observe
