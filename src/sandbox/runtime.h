// The port that runs one process in one tree. Above it op/exec decides what to run; below it stand
// the native runner (clone3, mount API, seccomp by hand) and the OCI runtimes (crun, runc).
//
//   ProcessIo io{.on_stdout = [&](std::string_view s) { reporter.log(kStdout, s); }};
//   KILN_ASSIGN_OR_RETURN(ExitStatus exit, runtime.run(box, process, io, stop));
//   if (exit.code != 0) …
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/status.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// The hand on a running process: standard input, signals, window size. Made by the caller before
// the process starts and may be used from any thread at any time; what comes before the start is
// kept, what comes after the end is dropped.
class ProcessControl {
 public:
  ProcessControl();
  ~ProcessControl();
  ProcessControl(const ProcessControl&) = delete;
  ProcessControl& operator=(const ProcessControl&) = delete;

  // Queues bytes for standard input. Blocks while more than 1 MiB waits; false once the process has
  // ended or closed its input.
  bool write_stdin(std::string_view bytes);
  void close_stdin();
  // SIGKILL ends the process; other signals are its own affair.
  void signal(int number);
  void resize(unsigned rows, unsigned columns);

  struct State;
  State& state() { return *state_; }  // for runtimes

 private:
  std::shared_ptr<State> state_;
};

// The ends of a process's streams. Callbacks come from the thread that called run or exec, one at a
// time, with raw bytes; they may block, which holds the process back. An empty callback discards.
// With a tty everything arrives at on_stdout.
struct ProcessIo {
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
  std::function<void()> on_started;   // the process is about to run its program
  ProcessControl* control = nullptr;  // null: no input (/dev/null), no signals
};

// Implementers guarantee: when run returns, whatever the outcome, no process, mount or cgroup of the
// container is left (removal of the cgroup may end shortly after); the tree holds nothing that the
// process did not write itself (mount stubs are gone, times of their parents restored). Any thread;
// many calls at once.
class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual std::string_view name() const = 0;

  // Runs to the end. Blocks; a stop kills everything in the container and gives Cancelled. Errors:
  // user errors (unknown user, working directory that is a file, program not found), environment
  // errors (mount, cgroup, runtime missing). A non-zero exit is not an error.
  virtual Result<ExitStatus> run(const ContainerSpec& container, const ProcessSpec& process, ProcessIo& io,
                                 std::stop_token stop) = 0;

  // A further process in a container that run is running now; waits up to its start. Same blocking
  // and cancelling; a stop kills this process only. It ends at the latest with the container.
  // Empty env and cwd are those of the container's first process. NotFound: no such container.
  virtual Result<ExitStatus> exec(const std::string& container_id, const ProcessSpec& process, ProcessIo& io,
                                  std::stop_token stop) = 0;
};

// nameserver, search and options lines that replace the host's. Empty: the host's stay.
struct DnsConfig {
  std::vector<std::string> nameservers;
  std::vector<std::string> options;
  std::vector<std::string> search_domains;
};

class Network;  // sandbox/network.h

struct RuntimeOptions {
  std::string state_root;             // directory of our own for bundles, hosts files and the like
  std::string binary;                 // "native", or a runc-compatible program; empty: choose by probing
  std::string default_cgroup_parent;  // "" is the root; steps live in <parent>/buildkit/<id>
  DnsConfig dns;
  std::shared_ptr<Network> network;  // for NetworkMode::kDefault; null: the host's network
  bool no_process_sandbox = false;   // share the daemon's pid namespace (rootless in a container)
  std::string apparmor_profile;      // of every step in sandbox mode; needs an OCI runtime
  bool selinux = false;
};

// Chooses and proves a runtime: the native runner when its self-test passes, else crun, else runc.
// FailedPrecondition naming what was tried when none works, or the security module that this kernel
// lacks. Blocks some milliseconds.
Result<std::unique_ptr<Runtime>> open_runtime(RuntimeOptions options);

// The wording clients know: "process \"/bin/sh -c exit 1\" did not complete successfully: exit code: 1";
// of a process without arguments the end alone, "exit code: 1", as frontends hear it of their containers.
// The status carries the exit code as detail kExitDetail (a serialised gateway ExitMessage), which
// clients unpack.
Status exit_error(const ProcessSpec& process, const ExitStatus& exit);
inline constexpr std::string_view kExitDetail = "github.com/moby/buildkit/gatewayapi.ExitMessage";

}  // namespace kiln::sandbox
