// kiln-dockerfile-speed: how long the text side of a build takes, for bench. Prints one JSON object:
// milliseconds to read and lower a Dockerfile of 2,000 lines in 200 stages, and to judge 100,000
// paths by an ignore file of 500 patterns; the best of ten runs each.
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <functional>

#include <fmt/format.h>

#include "base/patterns.h"
#include "client/dockerfile/local_bridge.h"
#include "frontend/dockerfile/plan/plan.h"

namespace kiln {
namespace {

constexpr int kRuns = 10;

double best_ms(const std::function<bool()>& work) {
  double best = 1e9;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    if (!work()) return -1;
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// 200 stages of ten lines; each takes files of the one before.
std::string big_dockerfile() {
  std::string out;
  for (int i = 0; i < 200; ++i) {
    out += fmt::format("FROM alpine AS stage{0}\nARG VERSION{0}=1.{0}\nENV A=$VERSION{0} B=\"two words\" C=${{A:-x}}\n",
                       i);
    out += "WORKDIR /src\nCOPY go.mod go.sum ./\nRUN --mount=type=cache,target=/cache make \\\n    all\n";
    out += fmt::format("COPY --chown=1:1 src{} src/\n", i);
    out += i == 0 ? "LABEL one=two\n" : fmt::format("COPY --from=stage{} /out /in\n", i - 1);
    out += "CMD [\"/bin/app\"]\n";
  }
  return out;
}

double lowering_ms() {
  const std::string text = big_dockerfile();
  return best_ms([&] {
    client::LocalBridge bridge(
        {.opts = {}, .dirs = {{"context", "/nonexistent"}, {"dockerfile", "/nonexistent"}}, .build_file = text});
    return frontend::dockerfile::lower_build(bridge, {}).ok();
  });
}

double ignoring_ms() {
  std::vector<std::string> patterns, paths;
  for (int i = 0; i < 500; ++i) {
    const int kind = i % 5;
    patterns.push_back(kind == 0   ? fmt::format("**/*.o{}", i)
                       : kind == 1 ? fmt::format("build{}/**/tmp", i)
                       : kind == 2 ? fmt::format("!keep{}/a*", i)
                       : kind == 3 ? fmt::format("vendor/mod{}/*.go", i)
                                   : fmt::format("docs/d{}", i));
  }
  for (int i = 0; i < 100'000; ++i) paths.push_back(fmt::format("dir{}/sub{}/file{}.c", i % 100, i % 1000, i));
  return best_ms([&] {
    auto matcher = PatternMatcher::make(patterns);
    if (!matcher.ok()) return false;
    int out = 0;
    for (const std::string& path : paths) out += matcher->matches_or_parent(path);
    return out >= 0;
  });
}

}  // namespace
}  // namespace kiln

int main() {
  ::mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);  // as in the daemon
  std::printf("{\"lowering_ms\": %.2f, \"ignoring_ms\": %.2f}\n", kiln::lowering_ms(), kiln::ignoring_ms());
}
