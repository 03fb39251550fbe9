// The runner of our own: one clone3 into fresh namespaces, mounts by the new mount API, seccomp and
// capabilities by hand. A step costs a few milliseconds where an OCI runtime costs ten to forty, with
// the same isolation.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "sandbox/cgroup_pool.h"
#include "sandbox/dns_files.h"
#include "sandbox/launcher.h"
#include "sandbox/memory_files.h"
#include "sandbox/running.h"
#include "sandbox/runtime.h"
#include "sandbox/seccomp_filter.h"

namespace kiln::sandbox {

class NativeMounts;
struct ChildFailure;

// See Runtime.
class NativeRunner final : public Runtime {
 public:
  // `options.state_root` exists. Makes the daemon's memory unreadable for other processes of its user
  // (PR_SET_DUMPABLE), because a step shares it for the moment between clone and execve.
  static Result<std::unique_ptr<NativeRunner>> open(RuntimeOptions options);

  std::string_view name() const override { return "native"; }
  Result<ExitStatus> run(const ContainerSpec& container, const ProcessSpec& process, ProcessIo& io,
                         std::stop_token stop) override;
  Result<ExitStatus> exec(const std::string& container_id, const ProcessSpec& process, ProcessIo& io,
                          std::stop_token stop) override;

 private:
  struct Step;  // everything one run holds, in the order of its making

  explicit NativeRunner(RuntimeOptions options);
  Result<ExitStatus> exec_in(const RunningContainer& container, const ProcessSpec& process, ProcessIo& io,
                             std::stop_token stop);
  Status prepare_tree(Step& step);
  Status choose_launcher(Step& step);
  Status prepare_surroundings(Step& step, std::stop_token stop);
  Status prepare_plan(Step& step);
  Result<ExitStatus> run_step(Step& step, ProcessIo& io, std::stop_token stop);
  std::shared_ptr<const SeccompFilter> filter_for(CapabilitySet capabilities);

  RuntimeOptions options_;
  DnsFiles dns_files_;
  CgroupPool cgroups_;
  Launchers launchers_{cgroups_};
  RunningContainers running_;
  MemoryFiles memory_files_;
  std::string empty_folder_;
  bool reset_oom_score_ = false;
  std::mutex filters_mutex_;
  std::map<CapabilitySet, std::shared_ptr<const SeccompFilter>> filters_;
};

}  // namespace kiln::sandbox
