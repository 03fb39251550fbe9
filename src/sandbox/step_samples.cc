#include "sandbox/step_samples.h"

namespace kiln::sandbox {
namespace {

constexpr auto kInterval = std::chrono::seconds(2);
constexpr std::size_t kSamplesMax = 10;  // before the interval doubles

}  // namespace

SampleRecorder::SampleRecorder(const host::Cgroup& group, const NetworkLease* network)
    : folders_(group.folders()),
      network_(network),
      start_(host::read_system_cpu()),
      thread_([this](std::stop_token stop) { run(stop); }) {}

SampleRecorder::~SampleRecorder() = default;

StepSample SampleRecorder::take() const {
  StepSample out{.time = system_clock().now(), .usage = host::read_cgroup_sample(folders_)};
  if (network_ != nullptr) out.network = network_->sample();
  return out;
}

void SampleRecorder::run(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  auto interval = std::chrono::duration_cast<std::chrono::nanoseconds>(kInterval);
  std::size_t since = 0;
  for (;;) {
    if (wake_.wait_for(lock, stop, interval, [&] { return stop.stop_requested(); }) || stop.stop_requested()) return;
    samples_.samples.push_back(take());
    if (++since < kSamplesMax) continue;
    // Twice as long from here on; of what there is every second one is enough.
    interval *= 2;
    since = kSamplesMax / 2;
    std::vector<StepSample> kept;
    for (std::size_t i = 1; i < samples_.samples.size(); i += 2) kept.push_back(std::move(samples_.samples[i]));
    samples_.samples = std::move(kept);
  }
}

std::shared_ptr<const StepSamples> SampleRecorder::finish() {
  thread_.request_stop();
  thread_.join();
  samples_.samples.push_back(take());
  if (const auto end = host::read_system_cpu(); end && start_) samples_.system_cpu = *end - *start_;
  return std::make_shared<const StepSamples>(std::move(samples_));
}

}  // namespace kiln::sandbox
