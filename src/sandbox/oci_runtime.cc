#include "sandbox/oci_runtime.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>

#include "base/clock.h"
#include "base/gopath.h"
#include "base/log.h"
#include "base/text.h"
#include "host/command.h"
#include "host/fs.h"
#include "host/mount.h"
#include "sandbox/cgroup_pool.h"
#include "sandbox/child.h"
#include "sandbox/dns_files.h"
#include "sandbox/memory_files.h"
#include "sandbox/mount_points.h"
#include "sandbox/mount_source.h"
#include "sandbox/network.h"
#include "sandbox/oci_spec.h"
#include "sandbox/process_io.h"
#include "sandbox/program.h"
#include "sandbox/proxy/trust_bundle.h"
#include "sandbox/running.h"
#include "sandbox/step_samples.h"
#include "sandbox/user.h"

namespace kiln::sandbox {
namespace {

// A folder that goes with everything mounted in it.
class Bundle {
 public:
  static Result<std::unique_ptr<Bundle>> make(const std::string& path) {
    KILN_RETURN_IF_ERROR(host::make_dirs(path + "/rootfs", 0711));
    return std::make_unique<Bundle>(path);
  }
  explicit Bundle(std::string path) : path_(std::move(path)) {}
  ~Bundle() {
    for (auto place = places_.rbegin(); place != places_.rend(); ++place) (void)::umount2(place->c_str(), MNT_DETACH);
    (void)host::remove_all(path_);
  }
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;

  const std::string& path() const { return path_; }
  Status place(int mount, const std::string& where) {
    KILN_RETURN_IF_ERROR(host::attach(mount, where));
    places_.push_back(where);
    return ok();
  }

 private:
  std::string path_;
  std::vector<std::string> places_;
};

// A step's folder in cgroups that the runtime does not touch.
class GivenBack {
 public:
  explicit GivenBack(CgroupPool& pool) : pool_(pool) {}
  ~GivenBack() { pool_.give_back(std::move(group)); }
  host::Cgroup group;

 private:
  CgroupPool& pool_;
};

struct Removed {
  std::string path;
  ~Removed() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

class OciRuntime final : public Runtime {
 public:
  OciRuntime(RuntimeOptions options, std::string program)
      : options_(std::move(options)),
        program_(std::move(program)),
        name_(base_name(program_)),
        is_crun_(name_.find("crun") != std::string::npos),
        dns_files_(options_.state_root, options_.dns),
        cgroups_(host::CgroupTree::probe(), options_.default_cgroup_parent),
        memory_files_(options_.state_root + "/memory") {}

  std::string_view name() const override { return name_; }

  Result<ExitStatus> run(const ContainerSpec& container, const ProcessSpec& process, ProcessIo& io,
                         std::stop_token stop) override {
    KILN_RETURN_IF_ERROR(running_.announce(container.id));
    const Announcement announced(running_, container.id);
    KILN_ASSIGN_OR_RETURN(std::unique_ptr<Bundle> bundle, Bundle::make(options_.state_root + "/" + container.id));
    KILN_ASSIGN_OR_RETURN(host::Fd root, host::open_mount(container.root));
    MountPoints points(root.get(), container.remove_mount_stubs_recursive);
    proxy::TrustBundle trust;
    if (!container.trusted_certificate.empty()) {
      KILN_ASSIGN_OR_RETURN(trust, proxy::TrustBundle::extend(root.get(), container.trusted_certificate));
    }
    Result<ExitStatus> exit = run_in(container, process, io, stop, *bundle, root.get(), points);
    trust.restore();
    points.remove_stubs();
    return exit;
  }

  Result<ExitStatus> exec(const std::string& id, const ProcessSpec& process, ProcessIo& io,
                          std::stop_token stop) override {
    if (process.args.empty()) return user_error(Code::kInvalidArgument, "no command to run");
    KILN_ASSIGN_OR_RETURN(std::shared_ptr<const RunningContainer> container, running_.find(id, stop));
    const std::string bundle = options_.state_root + "/" + id;
    KILN_RETURN_IF_ERROR(await_runtime(bundle, stop));
    KILN_ASSIGN_OR_RETURN(host::Fd root, host::open_file(bundle + "/rootfs", O_PATH | O_DIRECTORY));
    KILN_ASSIGN_OR_RETURN(const User user, find_user(root.get(), process.user));
    KILN_ASSIGN_OR_RETURN(const std::string home, home_of(root.get(), user.uid));
    const std::vector<std::string> env = effective_env(process.env.empty() ? container->env : process.env, home);
    const std::string file = fmt::format("{}/process-{}.json", bundle, ++exec_count_);
    const std::string pid_file = file + ".pid";
    KILN_RETURN_IF_ERROR(host::write_file(
        file, oci_process(process, container->security, user, env, process.cwd.empty() ? container->cwd : process.cwd,
                          options_.apparmor_profile)));
    KILN_ASSIGN_OR_RETURN(ProcessStreams streams, ProcessStreams::open(process.tty, io));
    streams.give_to(user.uid);
    auto kill = [&](int number, int) {
      // Not `kill`, which would end the container: the process itself.
      Result<std::string> pid = host::read_file(pid_file, 64);
      if (pid.ok()) ::kill(static_cast<pid_t>(std::atoi(pid->c_str())), number);
    };
    KILN_ASSIGN_OR_RETURN(const int code, call({"exec", "--process", file, "--pid-file", pid_file, id}, streams,
                                               process.tty, nullptr, io, kill, stop, nullptr));
    return ExitStatus{.code = code};
  }

 private:
  using Kill = std::function<void(int number, int pidfd)>;

  Result<ExitStatus> run_in(const ContainerSpec& container, const ProcessSpec& process, ProcessIo& io,
                            std::stop_token stop, Bundle& bundle, int root, MountPoints& points) {
    KILN_ASSIGN_OR_RETURN(const User user, find_user(root, process.user));
    KILN_ASSIGN_OR_RETURN(const std::string home, home_of(root, user.uid));
    const std::vector<std::string> env = effective_env(process.env, home);
    KILN_RETURN_IF_ERROR(make_working_directory(root, process.cwd, user));
    OciSurroundings surroundings{.root_path = bundle.path() + "/rootfs"};
    surroundings.host_pids = options_.no_process_sandbox;
    surroundings.apparmor_profile = options_.apparmor_profile;
    Removed own_hosts;
    KILN_RETURN_IF_ERROR(add_files(container, surroundings, own_hosts.path));
    std::vector<MemoryFile> files;
    KILN_RETURN_IF_ERROR(add_mounts(container, surroundings, bundle, points, files));
    std::unique_ptr<NetworkLease> network;
    if (container.own_network) {
      surroundings.network_path = container.own_network->namespace_path();
    } else if (container.network == NetworkMode::kDefault && options_.network) {
      const NetworkWish wish{.hostname = container.hostname, .fresh = container.security == SecurityMode::kInsecure};
      KILN_ASSIGN_OR_RETURN(network, options_.network->lease(wish, stop));
      surroundings.network_path = network->namespace_path();
    }
    GivenBack held(cgroups_);
    KILN_ASSIGN_OR_RETURN(held.group, cgroups_.take(container));
    if (held.group.valid() && !is_crun_) surroundings.cgroups_path = held.group.path();
    surroundings.cgroup_mount = !is_crun_ || cgroups_.layout() == host::CgroupLayout::kV2;
    surroundings.cgroup_namespace = cgroups_.layout() == host::CgroupLayout::kV2;

    KILN_RETURN_IF_ERROR(
        host::write_file(bundle.path() + "/config.json", oci_config(container, process, user, env, surroundings)));
    KILN_RETURN_IF_ERROR(bundle.place(root, surroundings.root_path));
    KILN_ASSIGN_OR_RETURN(ProcessStreams streams, ProcessStreams::open(process.tty, io));
    streams.give_to(user.uid);

    auto started = [&] {
      auto running = std::make_shared<RunningContainer>();
      running->env = env;
      running->cwd = process.cwd;
      running->security = container.security;
      running_.started(container.id, std::move(running));
    };
    auto kill = [&](int number, int pidfd) {
      if (number != SIGKILL) {
        (void)::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0);  // the runtime passes it on
        return;
      }
      (void)call_quietly({"kill", container.id, "KILL"});
      if (held.group.valid()) (void)held.group.kill_all();
    };
    std::vector<std::string> run = {"run", "--bundle", bundle.path()};
    std::optional<SampleRecorder> recorder;
    if (container.sample_usage && held.group.valid()) recorder.emplace(held.group, network.get());
    if (!is_crun_) run.push_back("--keep");  // so that the cgroup can still be read
    run.insert(run.end(), {"--pid-file", pid_file_of(bundle.path()), container.id});
    Result<int> code =
        call(run, streams, process.tty, held.group.valid() ? &held.group : nullptr, io, kill, stop, started);
    ExitStatus exit;
    if (code.ok()) {
      exit.code = *code;
      if (recorder) exit.samples = recorder->finish();
      if (held.group.valid()) exit.oom_killed = held.group.read_usage().oom_kills > 0 && exit.code != 0;
    }
    if (!code.ok() || !is_crun_) (void)call_quietly({"delete", "--force", container.id});
    KILN_RETURN_IF_ERROR(code.status());
    return exit;
  }

  static std::string pid_file_of(const std::string& bundle) { return bundle + "/container.pid"; }

  // The runtime has been started; it knows the container once it has written down whose process it is.
  static Status await_runtime(const std::string& bundle, std::stop_token stop) {
    constexpr int kTries = 2000;
    for (int i = 0; i < kTries && host::exists(bundle); ++i) {
      if (host::exists(pid_file_of(bundle))) return ok();
      KILN_RETURN_IF_ERROR(wait_for(stop, std::chrono::milliseconds(5)));
    }
    return user_error(Code::kNotFound, fmt::format("container '{}' does not run any more", base_name(bundle)));
  }

  static Status make_working_directory(int root, const std::string& cwd, const User& user) {
    KILN_ASSIGN_OR_RETURN(std::optional<struct stat> there, host::stat_in_root(root, cwd, host::FollowLast::kYes));
    if (there) return ok();
    std::vector<std::string> made;
    KILN_RETURN_IF_ERROR(host::make_dirs_in_root(root, cwd, 0755, &made).status());
    for (const std::string& path : made) (void)::fchownat(root, path.c_str(), user.uid, user.gid, AT_SYMLINK_NOFOLLOW);
    return ok();
  }

  Status add_files(const ContainerSpec& container, OciSurroundings& surroundings, std::string& own_hosts) {
    const bool host_network =
        !container.own_network &&
        (container.network == NetworkMode::kHost || (container.network == NetworkMode::kDefault && !options_.network));
    KILN_ASSIGN_OR_RETURN(DnsFiles::File resolv_conf,
                          dns_files_.resolv_conf(host_network ? NetworkMode::kHost : container.network));
    surroundings.resolv_conf = resolv_conf.path;
    if (container.extra_hosts.empty() && container.hostname.empty()) {
      KILN_ASSIGN_OR_RETURN(DnsFiles::File hosts, dns_files_.shared_hosts());
      surroundings.hosts = hosts.path;
      return ok();
    }
    KILN_ASSIGN_OR_RETURN(own_hosts, dns_files_.own_hosts(container));
    surroundings.hosts = own_hosts;
    return ok();
  }

  Status add_mounts(const ContainerSpec& container, OciSurroundings& surroundings, Bundle& bundle, MountPoints& points,
                    std::vector<MemoryFile>& files) {
    using Points = MountPoints;
    for (const char* file : {"/etc/resolv.conf", "/etc/hosts"}) {
      KILN_RETURN_IF_ERROR(points.ensure(file, Points::Kind::kFile, Points::Stay::kStub));
    }
    for (const Mount& mount : container.mounts) {
      host::MountSpec what = mount.what;
      host::Fd tree;
      if (mount.file) {
        KILN_ASSIGN_OR_RETURN(MemoryFile file, memory_files_.put(*mount.file));
        what = bind_of(file, *mount.file);
        KILN_ASSIGN_OR_RETURN(tree, host::open_mount(what));
        files.push_back(std::move(file));
      } else {
        KILN_ASSIGN_OR_RETURN(tree, open_source(mount, options_.state_root));
      }
      struct stat info;
      if (::fstat(tree.get(), &info) != 0) return errno_error(errno, "look at the mount");
      const bool directory = S_ISDIR(info.st_mode);
      const std::string place = fmt::format("{}/mount-{}", bundle.path(), surroundings.binds.size());
      KILN_RETURN_IF_ERROR(directory ? host::make_dir(place) : host::write_file(place, ""));
      KILN_RETURN_IF_ERROR(bundle.place(tree.get(), place));
      const std::string target = join_path("/", mount.target);
      const bool inside = std::any_of(surroundings.binds.begin(), surroundings.binds.end(),
                                      [&](const auto& bind) { return target.starts_with(bind.target + "/"); });
      if (!inside && !target.starts_with("/dev/")) {
        KILN_RETURN_IF_ERROR(
            points.ensure(target, directory ? Points::Kind::kDirectory : Points::Kind::kFile, Points::Stay::kStub));
      }
      std::vector<std::string> options = {"rbind"};
      for (const char* flag : {"ro", "nosuid", "nodev", "noexec"}) {
        if (what.has_option(flag)) options.emplace_back(flag);
      }
      surroundings.binds.push_back({place, target, std::move(options)});
    }
    return ok();
  }

  std::vector<std::string> command_line(const std::vector<std::string>& arguments) const {
    std::vector<std::string> out = {program_, "--root", options_.state_root + "/runtime"};
    if (is_crun_) out.push_back("--cgroup-manager=disabled");
    out.insert(out.end(), arguments.begin(), arguments.end());
    return out;
  }

  // Starts the program with the streams and serves them to its end.
  Result<int> call(const std::vector<std::string>& arguments, ProcessStreams& streams, bool tty,
                   const host::Cgroup* group, ProcessIo& io, const Kill& kill, std::stop_token stop,
                   const std::function<void()>& started) {
    std::vector<std::string> env;
    for (const char* const* entry = environ; *entry != nullptr; ++entry) env.emplace_back(*entry);
    const Program program(command_line(arguments), env, "/");
    ChildPlan plan;
    if (is_crun_ && cgroups_.layout() == host::CgroupLayout::kHybrid) {
      plan.namespaces = CLONE_NEWNS;
      plan.cover = "/sys/fs/cgroup/unified";
    }
    if (group != nullptr && is_crun_) {
      plan.cgroup_fds = group->attach_fds().data();
      plan.cgroup_count = group->attach_fds().size();
    }
    plan.stdio[0] = streams.child_stdin();
    plan.stdio[1] = streams.child_stdout();
    plan.stdio[2] = streams.child_stderr();
    plan.terminal = tty;
    plan.argv = program.argv();
    plan.envp = program.envp();
    plan.candidates = program.candidates();
    plan.capabilities = own_capabilities();
    ChildFailure failure;
    Result<StartedChild> child = start_child(plan, failure);
    streams.close_child_ends();
    if (!child.ok())
      return failure.failed() ? errno_error(failure.error, fmt::format("start '{}'", program_)) : child.status();
    if (started) started();
    if (io.on_started) io.on_started();
    const int pidfd = child->pidfd.get();
    return streams.serve(
        pidfd, io, [&](int number) { kill(number, pidfd); }, stop);
  }

  Status call_quietly(const std::vector<std::string>& arguments) {
    ProcessIo io;
    KILN_ASSIGN_OR_RETURN(ProcessStreams streams, ProcessStreams::open(false, io));
    return call(
               arguments, streams, false, nullptr, io, [](int, int) {}, {}, nullptr)
        .status();
  }

  RuntimeOptions options_;
  std::string program_;
  std::string name_;
  bool is_crun_;
  DnsFiles dns_files_;
  CgroupPool cgroups_;
  RunningContainers running_;
  MemoryFiles memory_files_;
  std::atomic<int> exec_count_ = 0;
};

}  // namespace

Result<std::unique_ptr<Runtime>> open_oci_runtime(RuntimeOptions options, const std::string& program) {
  std::optional<std::string> path = host::find_program(program);
  if (!path) return make_error(Fault::kEnvironment, Code::kNotFound, fmt::format("failed to find {} binary", program));
  KILN_RETURN_IF_ERROR(host::make_dirs(options.state_root + "/runtime", 0711));
  return std::unique_ptr<Runtime>(std::make_unique<OciRuntime>(std::move(options), std::move(*path)));
}

}  // namespace kiln::sandbox
