// The metrics page: what is counted and that the text is what Prometheus reads.
#include "observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kiln::observe {
namespace {

using testing::HasSubstr;

TEST(MetricsTest, BuildsAreCountedByStatusAndCode) {
  Metrics metrics;
  metrics.build_ended({.seconds = 0.2, .steps_total = 5, .steps_completed = 5, .steps_cached = 3});
  metrics.steps_missed({{"changed", 2}});
  metrics.build_ended({.seconds = 7, .error_code = "Unknown", .steps_total = 2});
  std::string text = metrics.text({{"kiln_builds_running", "Builds that run now.", 1}});
  for (const char* line :
       {"buildkit_builds_total{status=\"success\"} 1\n",
        "buildkit_builds_total{error_code=\"Unknown\",status=\"failure\"} 1\n",
        "buildkit_builds_steps_total{kind=\"total\"} 7\n", "buildkit_builds_steps_total{kind=\"cached\"} 3\n",
        "kiln_cache_misses_total{reason=\"changed\"} 2\n",
        "buildkit_build_duration_seconds_bucket{status=\"success\",le=\"0.1\"} 0\n",
        "buildkit_build_duration_seconds_bucket{status=\"success\",le=\"0.25\"} 1\n",
        "buildkit_build_duration_seconds_bucket{status=\"failure\",le=\"+Inf\"} 1\n",
        "buildkit_build_duration_seconds_count{status=\"failure\"} 1\n",
        "# TYPE kiln_builds_running gauge\nkiln_builds_running 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(MetricsTest, LabelsAreEscaped) {
  Metrics metrics;
  metrics.steps_missed({{"we\"ird\n", 1}});
  EXPECT_THAT(metrics.text({}), HasSubstr("kiln_cache_misses_total{reason=\"we\\\"ird\\n\"} 1\n"));
}

}  // namespace
}  // namespace kiln::observe
