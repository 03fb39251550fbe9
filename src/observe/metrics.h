// What a daemon counts, and how Prometheus reads it. Labels are a fixed few: never a reference, a
// digest or an image's name, so that the number of series stays bounded.
//
//   Metrics metrics;
//   metrics.build_ended({.seconds = 1.5, .error_code = "", .steps_total = 4, .steps_cached = 3});
//   std::string page = metrics.text({{"kiln_builds_running", "Builds that run now.", 2}});
//
// Names of what BuildKit counts too are BuildKit's (buildkit_builds_total, buildkit_builds_steps_total,
// buildkit_build_duration_seconds).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kiln::observe {

struct EndedBuild {
  double seconds = 0;
  std::string error_code;  // gRPC's name, "" = success
  int steps_total = 0;
  int steps_completed = 0;
  int steps_cached = 0;
  int warnings = 0;
};

// A value that is read when the page is made.
struct Gauge {
  std::string name;
  std::string help;
  double value = 0;
};

// Any thread.
class Metrics {
 public:
  void build_ended(const EndedBuild& build);
  // Why steps had to run, by verdict (history/miss_reason.h).
  void steps_missed(const std::map<std::string, int>& by_verdict);

  // The text exposition format, version 0.0.4.
  std::string text(const std::vector<Gauge>& gauges) const;

 private:
  struct Histogram {
    std::vector<std::uint64_t> buckets;
    double sum = 0;
    std::uint64_t count = 0;
    void add(const std::vector<double>& bounds, double value);
  };
  using Labels = std::vector<std::pair<std::string, std::string>>;
  static std::string labels_text(const Labels& labels);
  static void print(std::string& out, std::string_view name, const std::string& labels,
                    const std::vector<double>& bounds, const Histogram& histogram);

  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t> builds_;  // by labels
  std::map<std::string, std::uint64_t> steps_;
  std::map<std::string, std::uint64_t> misses_;
  std::map<std::string, Histogram> durations_;
};

}  // namespace kiln::observe
