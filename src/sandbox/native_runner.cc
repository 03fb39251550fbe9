#include "sandbox/native_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/log.h"
#include "base/text.h"
#include "host/fs.h"
#include "host/mount.h"
#include "sandbox/child.h"
#include "sandbox/native_failure.h"
#include "sandbox/native_mounts.h"
#include "sandbox/network.h"
#include "sandbox/process_io.h"
#include "sandbox/program.h"
#include "sandbox/proxy/trust_bundle.h"
#include "sandbox/rlimits.h"
#include "sandbox/step_samples.h"
#include "sandbox/user.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

namespace kiln::sandbox {
namespace {

void send_signal(int pidfd, int number) { (void)::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0); }

std::uint64_t own_oom_score() {
  Result<std::string> text = host::read_file("/proc/self/oom_score_adj", 64);
  return text.ok() && trim(*text) != "0" ? 1 : 0;
}

ResourceUsage usage_of(const host::CgroupUsage& usage) {
  return {.cpu_total_ns = usage.cpu_total_ns,
          .cpu_user_ns = usage.cpu_user_ns,
          .cpu_system_ns = usage.cpu_system_ns,
          .memory_peak_bytes = usage.memory_peak_bytes,
          .io_read_bytes = usage.io_read_bytes,
          .io_write_bytes = usage.io_write_bytes,
          .pids_peak = usage.pids_peak};
}

// The step's own, so that nothing outlives it in any order but the reverse of its making.
class RemovedFile {
 public:
  RemovedFile() = default;
  explicit RemovedFile(std::string path) : path_(std::move(path)) {}
  RemovedFile(RemovedFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  RemovedFile& operator=(RemovedFile&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~RemovedFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

 private:
  std::string path_;
};

}  // namespace

struct NativeRunner::Step {
  const ContainerSpec& container;
  const ProcessSpec& process;
  CgroupPool& pool;

  std::unique_ptr<Launcher> launcher;  // outlives the child
  host::Cgroup cgroup;
  host::Cgroup unused_cgroup;      // the launcher stays in it to its end
  std::size_t cgroup_entered = 0;  // hierarchies the launcher is in already
  std::unique_ptr<NetworkLease> network;
  proxy::TrustBundle trust;
  RemovedFile hosts;
  host::Fd root;
  std::unique_ptr<MountPoints> points;
  std::unique_ptr<NativeMounts> mounts;
  MountSurroundings surroundings;
  User user;
  std::unique_ptr<Program> program;
  std::vector<ChildLimit> limits;
  std::shared_ptr<const SeccompFilter> filter;
  sock_fprog filter_program{};
  std::string hostname;
  ChildPlan plan;

  ~Step() {
    // A tree that is written through a mount of its own may be mounted again at once.
    if (launcher && std::any_of(container.mounts.begin(), container.mounts.end(),
                                [](const Mount& m) { return m.exclusive || m.what.type == "overlay"; })) {
      launcher->finish();
    }
    launcher.reset();
    mounts.reset();
    trust.restore();
    if (points) points->remove_stubs();
    pool.give_back(std::move(cgroup));
    pool.give_back(std::move(unused_cgroup));
  }
};

NativeRunner::NativeRunner(RuntimeOptions options)
    : options_(std::move(options)),
      dns_files_(options_.state_root, options_.dns),
      cgroups_(host::CgroupTree::probe(), options_.default_cgroup_parent),
      memory_files_(options_.state_root + "/memory"),
      empty_folder_(options_.state_root + "/empty"),
      reset_oom_score_(own_oom_score() != 0) {}

Result<std::unique_ptr<NativeRunner>> NativeRunner::open(RuntimeOptions options) {
  auto runner = std::unique_ptr<NativeRunner>(new NativeRunner(std::move(options)));
  KILN_RETURN_IF_ERROR(host::make_dirs(runner->options_.state_root, 0711));
  KILN_RETURN_IF_ERROR(host::make_dir(runner->empty_folder_, 0555));
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  (void)runner->filter_for(default_capabilities());
  return runner;
}

std::shared_ptr<const SeccompFilter> NativeRunner::filter_for(CapabilitySet capabilities) {
  std::lock_guard lock(filters_mutex_);
  std::shared_ptr<const SeccompFilter>& filter = filters_[capabilities];
  if (!filter) filter = std::make_shared<SeccompFilter>(compile_seccomp(capabilities));
  return filter;
}

Status NativeRunner::prepare_tree(Step& step) {
  KILN_ASSIGN_OR_RETURN(step.root, host::open_mount(step.container.root));
  step.points = std::make_unique<MountPoints>(step.root.get(), step.container.remove_mount_stubs_recursive);
  if (!step.container.trusted_certificate.empty()) {
    KILN_ASSIGN_OR_RETURN(step.trust, proxy::TrustBundle::extend(step.root.get(), step.container.trusted_certificate));
  }
  KILN_ASSIGN_OR_RETURN(step.user, find_user(step.root.get(), step.process.user));
  const std::string& cwd = step.process.cwd;
  KILN_ASSIGN_OR_RETURN(std::optional<struct stat> there,
                        host::stat_in_root(step.root.get(), cwd, host::FollowLast::kYes));
  if (there) return ok();
  std::vector<std::string> made;
  KILN_RETURN_IF_ERROR(annotate(host::make_dirs_in_root(step.root.get(), cwd, 0755, &made).status(),
                                fmt::format("failed to create working directory {}", cwd)));
  for (const std::string& path : made) {
    (void)::fchownat(step.root.get(), path.c_str(), step.user.uid, step.user.gid, AT_SYMLINK_NOFOLLOW);
  }
  return ok();
}

// Takes a prepared thread if there is one, and the cgroup: the thread's own, unless the container
// wants a special one, which its process then enters by itself.
Status NativeRunner::choose_launcher(Step& step) {
  const ContainerSpec& container = step.container;
  if (!options_.no_process_sandbox) step.launcher = launchers_.take();
  const bool plain =
      container.cgroup_parent.empty() && container.devices.empty() && container.security == SecurityMode::kSandbox;
  if (!step.launcher || !step.launcher->cgroup().valid() || !plain) {
    if (step.launcher) step.unused_cgroup = std::move(step.launcher->cgroup());
    KILN_ASSIGN_OR_RETURN(step.cgroup, cgroups_.take(container));
    return ok();
  }
  step.cgroup = std::move(step.launcher->cgroup());
  step.cgroup_entered = step.cgroup.attach_fds().size();
  if (container.limits.empty()) return ok();
  return CgroupPool::limit(step.cgroup, container.limits);
}

Status NativeRunner::prepare_surroundings(Step& step, std::stop_token stop) {
  const ContainerSpec& container = step.container;
  KILN_RETURN_IF_ERROR(choose_launcher(step));
  NetworkMode mode = container.own_network ? NetworkMode::kNone : container.network;
  if (mode == NetworkMode::kDefault && options_.network) {
    // Who may change its network must not leave it to the next.
    const bool fresh = container.security == SecurityMode::kInsecure;
    KILN_ASSIGN_OR_RETURN(step.network,
                          options_.network->lease({.hostname = container.hostname, .fresh = fresh}, stop));
  } else if (mode == NetworkMode::kDefault) {
    mode = NetworkMode::kHost;
  }
  KILN_ASSIGN_OR_RETURN(DnsFiles::File resolv_conf, dns_files_.resolv_conf(mode));
  step.surroundings.resolv_conf = resolv_conf.path;
  if (container.extra_hosts.empty() && container.hostname.empty()) {
    KILN_ASSIGN_OR_RETURN(DnsFiles::File hosts, dns_files_.shared_hosts());
    step.surroundings.hosts = hosts.path;
  } else {
    KILN_ASSIGN_OR_RETURN(step.surroundings.hosts, dns_files_.own_hosts(container));
    step.hosts = RemovedFile(step.surroundings.hosts);
  }
  if (step.cgroup.valid()) step.surroundings.cgroup_folders = step.cgroup.folders();
  step.surroundings.host_pids = options_.no_process_sandbox;
  step.surroundings.memory_files = &memory_files_;
  step.surroundings.scratch_root = options_.state_root;

  ChildPlan& plan = step.plan;
  if (!step.launcher) {
    plan.namespaces = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    if (!options_.no_process_sandbox) plan.namespaces |= CLONE_NEWPID;
  }
  if (container.own_network) {
    plan.network_fd = container.own_network->namespace_fd();
  } else if (step.network) {
    plan.network_fd = step.network->namespace_fd();
  } else if (mode == NetworkMode::kNone) {
    plan.namespaces |= CLONE_NEWNET;
    plan.loopback_up = true;
  }
  return ok();
}

Status NativeRunner::prepare_plan(Step& step) {
  const ProcessSpec& process = step.process;
  ChildPlan& plan = step.plan;
  KILN_ASSIGN_OR_RETURN(std::string home, home_of(step.root.get(), step.user.uid));
  step.program = std::make_unique<Program>(process.args, process.env, home);
  KILN_ASSIGN_OR_RETURN(step.limits, child_limits(process.ulimits));
  KILN_ASSIGN_OR_RETURN(step.mounts, NativeMounts::prepare(step.container, step.surroundings, *step.points));

  if (step.cgroup.valid()) {
    plan.clone_cgroup_fd = step.cgroup.clone_fd();
    plan.new_cgroup_namespace = plan.clone_cgroup_fd >= 0;
    if (plan.clone_cgroup_fd < 0) {
      plan.cgroup_fds = step.cgroup.attach_fds().data() + step.cgroup_entered;
      plan.cgroup_count = step.cgroup.attach_fds().size() - step.cgroup_entered;
    }
  }
  plan.empty_root = step.launcher != nullptr;
  step.hostname = step.container.hostname.empty() ? std::string(kDefaultHostname) : step.container.hostname;
  plan.hostname = step.hostname.c_str();
  plan.root_fd = step.root.get();
  plan.steps = step.mounts->steps().data();
  plan.step_count = step.mounts->steps().size();
  plan.empty_folder = step.launcher ? "/" : empty_folder_.c_str();
  plan.argv = step.program->argv();
  plan.envp = step.program->envp();
  plan.candidates = step.program->candidates();
  plan.cwd = process.cwd.empty() ? "/" : process.cwd.c_str();
  plan.uid = step.user.uid;
  plan.gid = step.user.gid;
  plan.groups = step.user.groups.data();
  plan.group_count = step.user.groups.size();
  plan.limits = step.limits.data();
  plan.limit_count = step.limits.size();
  plan.terminal = process.tty;
  plan.reset_oom_score = reset_oom_score_;
  plan.keep_capabilities = step.container.security == SecurityMode::kInsecure;
  plan.capabilities = plan.keep_capabilities ? own_capabilities() : default_capabilities();
  if (!plan.keep_capabilities) {
    step.filter = filter_for(plan.capabilities);
    step.filter_program = {static_cast<unsigned short>(step.filter->code.size()),
                           const_cast<sock_filter*>(step.filter->code.data())};
    plan.filter = &step.filter_program;
  }
  return ok();
}

Result<ExitStatus> NativeRunner::run_step(Step& step, ProcessIo& io, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(ProcessStreams streams, ProcessStreams::open(step.process.tty, io));
  if (step.process.tty) step.surroundings.terminal = streams.child_stdin();
  KILN_RETURN_IF_ERROR(prepare_plan(step));
  streams.give_to(step.user.uid);
  step.plan.stdio[0] = streams.child_stdin();
  step.plan.stdio[1] = streams.child_stdout();
  step.plan.stdio[2] = streams.child_stderr();
  if (stop.stop_requested()) return cancelled();

  ChildFailure failure;
  Result<StartedChild> child =
      step.launcher ? step.launcher->start(step.plan, failure) : start_child(step.plan, failure);
  streams.close_child_ends();
  if (!child.ok()) {
    if (!failure.failed()) return child.status();
    return failed_start(failure, step.process, step.mounts.get(), io);
  }
  auto running = std::make_shared<RunningContainer>();
  running->pid = child->pid;
  running->pidfd = ::fcntl(child->pidfd.get(), F_DUPFD_CLOEXEC, 3);
  if (step.cgroup.valid()) {
    for (int fd : step.cgroup.attach_fds()) running->cgroup_fds.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  }
  running->env = step.program->env();
  running->cwd = step.process.cwd;
  running->security = step.container.security;
  running_.started(step.container.id, running);
  if (io.on_started) io.on_started();

  std::optional<SampleRecorder> recorder;
  if (step.container.sample_usage && step.cgroup.valid()) recorder.emplace(step.cgroup, step.network.get());
  const int pidfd = child->pidfd.get();
  Result<int> code = streams.serve(
      pidfd, io, [pidfd](int number) { send_signal(pidfd, number); }, stop);
  if (options_.no_process_sandbox && step.cgroup.valid()) (void)step.cgroup.kill_all();
  KILN_RETURN_IF_ERROR(code.status());
  ExitStatus exit{.code = *code};
  if (recorder) exit.samples = recorder->finish();
  if (step.cgroup.valid()) {
    const host::CgroupUsage usage = step.cgroup.read_usage();
    exit.usage = usage_of(usage);
    exit.oom_killed = usage.oom_kills > 0 && exit.code != 0;
  }
  return exit;
}

Result<ExitStatus> NativeRunner::run(const ContainerSpec& container, const ProcessSpec& process, ProcessIo& io,
                                     std::stop_token stop) {
  if (process.args.empty()) return user_error(Code::kInvalidArgument, "no command to run");
  KILN_RETURN_IF_ERROR(running_.announce(container.id));
  const Announcement announced(running_, container.id);
  Step step{container, process, cgroups_};
  KILN_RETURN_IF_ERROR(prepare_tree(step));
  KILN_RETURN_IF_ERROR(prepare_surroundings(step, stop));
  return run_step(step, io, stop);
}

namespace {

bool has_ended(int pidfd) {
  pollfd wait{pidfd, POLLIN, 0};
  return ::poll(&wait, 1, 0) > 0;
}

}  // namespace

Result<ExitStatus> NativeRunner::exec(const std::string& container_id, const ProcessSpec& process, ProcessIo& io,
                                      std::stop_token stop) {
  if (process.args.empty()) return user_error(Code::kInvalidArgument, "no command to run");
  KILN_ASSIGN_OR_RETURN(std::shared_ptr<const RunningContainer> container, running_.find(container_id, stop));
  Result<ExitStatus> exit = exec_in(*container, process, io, stop);
  // What fails in a container that has ended meanwhile (no such process, no such cgroup) says nothing else.
  if (!exit.ok() && !is_cancelled(exit.status()) && has_ended(container->pidfd)) {
    return user_error(Code::kFailedPrecondition, fmt::format("container {} has stopped", container_id));
  }
  return exit;
}

Result<ExitStatus> NativeRunner::exec_in(const RunningContainer& container, const ProcessSpec& process, ProcessIo& io,
                                         std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(host::Fd root,
                        host::open_file(fmt::format("/proc/{}/root", container.pid), O_PATH | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(const User user, find_user(root.get(), process.user));
  KILN_ASSIGN_OR_RETURN(const std::string home, home_of(root.get(), user.uid));
  const Program program(process.args, process.env.empty() ? container.env : process.env, home);
  KILN_ASSIGN_OR_RETURN(const std::vector<ChildLimit> limits, child_limits(process.ulimits));
  KILN_ASSIGN_OR_RETURN(ProcessStreams streams, ProcessStreams::open(process.tty, io));
  streams.give_to(user.uid);

  ChildPlan plan;
  plan.join_pidfd = container.pidfd;
  plan.cgroup_fds = container.cgroup_fds.data();
  plan.cgroup_count = container.cgroup_fds.size();
  plan.stdio[0] = streams.child_stdin();
  plan.stdio[1] = streams.child_stdout();
  plan.stdio[2] = streams.child_stderr();
  plan.terminal = process.tty;
  plan.argv = program.argv();
  plan.envp = program.envp();
  plan.candidates = program.candidates();
  plan.cwd = process.cwd.empty() ? container.cwd.c_str() : process.cwd.c_str();
  plan.uid = user.uid;
  plan.gid = user.gid;
  plan.groups = user.groups.data();
  plan.group_count = user.groups.size();
  plan.limits = limits.data();
  plan.limit_count = limits.size();
  plan.keep_capabilities = container.security == SecurityMode::kInsecure;
  plan.capabilities = plan.keep_capabilities ? own_capabilities() : default_capabilities();
  const std::shared_ptr<const SeccompFilter> filter = filter_for(plan.capabilities);
  const sock_fprog filter_program{static_cast<unsigned short>(filter->code.size()),
                                  const_cast<sock_filter*>(filter->code.data())};
  if (!plan.keep_capabilities) plan.filter = &filter_program;

  ChildFailure failure;
  Result<StartedChild> child = start_child(plan, failure);
  streams.close_child_ends();
  if (!child.ok()) {
    if (!failure.failed()) return child.status();
    return failed_start(failure, process, nullptr, io);
  }
  if (io.on_started) io.on_started();
  const int pidfd = child->pidfd.get();
  KILN_ASSIGN_OR_RETURN(const int code, streams.serve(
                                            pidfd, io, [pidfd](int number) { send_signal(pidfd, number); }, stop));
  return ExitStatus{.code = code};
}

}  // namespace kiln::sandbox
