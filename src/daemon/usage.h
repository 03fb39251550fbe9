// What builds cost, as provenance tells it: samples of the machine while a build runs, and of its steps.
//
//   auto watch = machine.watch();                 // while a build runs
//   std::string json = watch->samples_json();     // with one sample of this moment
//   std::string step = samples_json(*record.samples);  // op/step_records.h
//
// Shapes are BuildKit's (executor/resources/types): docs/attestations.md.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/pool.h"
#include "sandbox/step_samples.h"

namespace kiln::daemon {

// One sample of this machine, a JSON object; "" when the kernel says nothing.
std::string sample_machine(Time now);

// Any thread; owned by the daemon, outlives its watches. Samples every two seconds while somebody
// watches, on one thread of the pool; else it does nothing.
class MachineUsage {
 public:
  explicit MachineUsage(Pool& pool);
  ~MachineUsage();
  MachineUsage(const MachineUsage&) = delete;
  MachineUsage& operator=(const MachineUsage&) = delete;

  class Watch {
   public:
    Watch(MachineUsage& machine) : machine_(machine) {}
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    // A JSON array: what was sampled since the watch began (at most twenty, spread over its time), and now.
    std::string samples_json() const;

   private:
    friend class MachineUsage;
    MachineUsage& machine_;
    std::vector<std::string> samples_;  // under the machine's mutex
    int every_ = 1;                     // every n-th sample is kept
    int seen_ = 0;
  };
  std::unique_ptr<Watch> watch();

 private:
  void run();

  Pool& pool_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Watch*> watches_;
  bool running_ = false;
};

// {"samples": […], "sysCPUStat": …} of a step.
std::string samples_json(const sandbox::StepSamples& samples);

}  // namespace kiln::daemon
