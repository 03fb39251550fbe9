// What a step used while it ran, sampled: for the record of a build that asks for it. A sample every
// two seconds, rarer for long steps, and one at the end.
//
//   SampleRecorder recorder(group, network); … run … ; auto samples = recorder.finish();
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "host/cgroup.h"
#include "host/cgroup_sample.h"
#include "sandbox/network.h"

namespace kiln::sandbox {

struct StepSample {
  Time time{};
  host::CgroupSample usage;
  std::optional<NetworkSample> network;
};

struct StepSamples {
  std::vector<StepSample> samples;            // in order; the last one is from the step's end
  std::optional<host::SystemCpu> system_cpu;  // of the whole machine meanwhile
};

// One thread, besides its own; the group and the lease outlive it.
class SampleRecorder {
 public:
  // `network` may be null.
  SampleRecorder(const host::Cgroup& group, const NetworkLease* network);
  ~SampleRecorder();
  // Takes the last sample. Once.
  std::shared_ptr<const StepSamples> finish();

 private:
  StepSample take() const;
  void run(std::stop_token stop);

  const std::vector<std::pair<std::string, std::string>> folders_;
  const NetworkLease* const network_;
  const std::optional<host::SystemCpu> start_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  StepSamples samples_;
  std::jthread thread_;
};

}  // namespace kiln::sandbox
