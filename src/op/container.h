// A container that outlives one process: for frontends that run programs while they make their result,
// and for looking around in a step that failed. The mounts are those of an exec step; the first
// process starts the container and ends it, further ones join.
//
//   KILN_ASSIGN_OR_RETURN(auto container, Container::make(request, ports, context));
//   KILN_ASSIGN_OR_RETURN(auto exit, container->run(process, io, context, stop));   // one thread a process
//   container->release();
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "graph/op.h"
#include "host/fs.h"
#include "host/mount.h"
#include "op/op_factory.h"
#include "sandbox/runtime.h"
#include "solve/op.h"
#include "store/tree.h"

namespace kiln::op {

class ExecMounts;

struct ContainerRequest {
  // `input` indexes `inputs` (or is graph::kNoInput); `output` and `result_id` are ignored.
  std::vector<graph::Mount> mounts;
  std::vector<store::TreeRef> inputs;
  graph::NetMode network = graph::NetMode::kSandbox;
  std::string hostname;
  std::vector<graph::HostIp> extra_hosts;
  std::optional<Platform> platform;  // whose default PATH processes get
};

struct ContainerProcessRequest {
  graph::Meta meta;
  bool tty = false;
  graph::SecurityMode security = graph::SecurityMode::kSandbox;
  std::vector<graph::SecretEnv> secret_env;
};

// Whether a process that ended with this code did what was asked.
bool is_valid_exit(const graph::Meta& meta, int code);

// Any thread.
class Container {
 public:
  // Makes the mounts ready; blocking, cancellable. The ports outlive the container.
  static Result<std::shared_ptr<Container>> make(ContainerRequest request, OpPorts ports, solve::RunContext& context);
  // Everything still running is killed and waited for.
  ~Container();

  // Runs a process to its end, on the calling thread. Errors are those of Runtime; a non-zero exit
  // that the request does not call valid is told in the exit status, not as an error: see exit_error.
  Result<sandbox::ExitStatus> run(const ContainerProcessRequest& process, sandbox::ProcessIo& io,
                                  solve::RunContext& context);

  // Whether the first program runs: further ones can be started in it. Any thread.
  bool running();
  // The contents of a mount of the request, for looking into; changes of running processes are seen.
  // The descriptor is good for host::open_in_root. NotFound for an index that shows no tree.
  Result<host::Fd> open_mount(std::size_t index);

  // Stops all processes, waits for them, gives the trees back. Idempotent. Tells the first thing that
  // went wrong with a process, being stopped here included: clients expect to hear it from their
  // release.
  Status release();

 private:
  struct Shown {
    std::size_t index;
    host::Mount mount;
    std::string selector;
  };
  enum class Stage { kNew, kStarting, kRunning, kEnded };
  explicit Container(ContainerRequest request, OpPorts ports);
  Status prepare(solve::RunContext& context);
  Result<sandbox::ExitStatus> run_first(const ContainerProcessRequest& request, const sandbox::ProcessSpec& process,
                                        sandbox::ProcessIo& io, std::stop_token stop);
  Status await_running(std::stop_token stop);
  void set_stage(Stage stage);
  Status show(std::size_t index, host::MountSpec& spec, const std::string& selector);

  graph::ExecOp op_;
  OpPorts ports_;
  std::string id_;
  std::optional<Platform> platform_;
  std::vector<store::TreeRef> inputs_;
  std::unique_ptr<ExecMounts> mounts_;
  host::MountSpec root_;
  std::vector<sandbox::Mount> binds_;
  host::TempDir folder_;
  std::vector<Shown> shown_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::stop_source stop_;
  int running_ = 0;
  Stage stage_ = Stage::kNew;  // of the first process
  bool released_ = false;
  Status first_failure_;
};

}  // namespace kiln::op
