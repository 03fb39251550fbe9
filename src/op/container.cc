#include "op/container.h"

#include <fmt/format.h>

#include <fcntl.h>

#include <algorithm>

#include "base/gopath.h"
#include "base/id.h"
#include "host/fs.h"
#include "op/exec_environment.h"
#include "op/exec_mounts.h"

namespace kiln::op {

Container::Container(ContainerRequest request, OpPorts ports)
    : ports_(std::move(ports)),
      id_(new_id()),
      platform_(std::move(request.platform)),
      inputs_(std::move(request.inputs)) {
  op_.meta.args = {id_};
  op_.meta.hostname = std::move(request.hostname);
  op_.meta.extra_hosts = std::move(request.extra_hosts);
  op_.network = request.network;
  op_.mounts = std::move(request.mounts);
  // Whatever may be written gets a tree of its own, which goes with the container.
  for (graph::Mount& mount : op_.mounts) mount.output = 0;
}

Result<std::shared_ptr<Container>> Container::make(ContainerRequest request, OpPorts ports,
                                                   solve::RunContext& context) {
  if (ports.runtime == nullptr) return engine_error("no runtime for containers was configured");
  auto container = std::shared_ptr<Container>(new Container(std::move(request), std::move(ports)));
  KILN_RETURN_IF_ERROR(container->prepare(context));
  return container;
}

Container::~Container() { (void)release(); }

// Mounts the tree at a place of the host, so that processes and readers meet in one mount.
Status Container::show(std::size_t index, host::MountSpec& spec, const std::string& selector) {
  const std::string place = fmt::format("{}/{}", folder_.path(), index);
  KILN_RETURN_IF_ERROR(host::make_dir(place));
  KILN_ASSIGN_OR_RETURN(host::Mount mount, host::Mount::at(spec, place));
  const bool readonly = spec.readonly();
  spec = {"bind", place, {"rbind"}};
  if (readonly) spec.options.push_back("ro");
  shown_.push_back({index, std::move(mount), selector});
  return ok();
}

Status Container::prepare(solve::RunContext& context) {
  mounts_ = std::make_unique<ExecMounts>(op_, ports_, inputs_, fmt::format("container {}", id_));
  KILN_RETURN_IF_ERROR(mounts_->prepare(context));
  KILN_ASSIGN_OR_RETURN(folder_, host::TempDir::make("kiln-container-"));
  root_ = mounts_->root();
  for (std::size_t i = 0; i < op_.mounts.size(); ++i) {
    if (op_.mounts[i].dest == graph::kRootMount) KILN_RETURN_IF_ERROR(show(i, root_, ""));
  }
  binds_ = mounts_->mounts();
  for (std::size_t i = 0; i < binds_.size(); ++i) {
    const std::size_t index = mounts_->mount_indexes()[i];
    const graph::MountType type = op_.mounts[index].type;
    if (type != graph::MountType::kBind && type != graph::MountType::kCache) continue;
    KILN_RETURN_IF_ERROR(show(index, binds_[i].what, binds_[i].selector));
  }
  return ok();
}

Result<sandbox::ExitStatus> Container::run(const ContainerProcessRequest& request, sandbox::ProcessIo& io,
                                           solve::RunContext& context) {
  if (request.meta.args.empty()) return user_error(Code::kInvalidArgument, "no command to run");
  graph::Meta meta = request.meta;
  const bool has_term =
      std::any_of(meta.env.begin(), meta.env.end(), [](const std::string& e) { return e.starts_with("TERM="); });
  if (request.tty && !has_term) meta.env.push_back("TERM=xterm");
  sandbox::ProcessSpec process = process_of(meta);
  process.tty = request.tty;
  KILN_ASSIGN_OR_RETURN(process.env, exec_environment(meta, request.secret_env, platform_, ports_, context));
  if (process.cwd.empty()) process.cwd = "/";

  bool first = false;
  {
    std::lock_guard lock(mutex_);
    if (released_) return user_error(Code::kFailedPrecondition, "the container was released");
    first = stage_ == Stage::kNew;
    if (first) stage_ = Stage::kStarting;
    ++running_;
  }
  // Ends with its caller or with the container.
  std::stop_source either;
  std::stop_callback from_caller(context.stop, [&] { either.request_stop(); });
  std::stop_callback from_container(stop_.get_token(), [&] { either.request_stop(); });
  Result<sandbox::ExitStatus> exit = engine_error("not run");
  if (first) {
    exit = run_first(request, process, io, either.get_token());
    set_stage(Stage::kEnded);
  } else if (Status running = await_running(either.get_token()); !running.ok()) {
    exit = running;
  } else {
    exit = ports_.runtime->exec(id_, process, io, either.get_token());
  }
  // Stopped from outside: by its caller, or with the container. What fails meanwhile fails for that.
  if (!exit.ok() && (is_cancelled(exit.status()) || either.stop_requested())) exit = cancelled("context canceled");
  Status ended = exit.status();
  if (exit.ok() && !is_valid_exit(meta, exit->code)) ended = sandbox::exit_error({}, *exit);
  std::lock_guard lock(mutex_);
  if (first_failure_.ok()) first_failure_ = std::move(ended);
  --running_;
  changed_.notify_all();
  return exit;
}

bool is_valid_exit(const graph::Meta& meta, int code) {
  const auto& valid = meta.valid_exit_codes;
  return valid.empty() ? code == 0 : std::find(valid.begin(), valid.end(), code) != valid.end();
}

Result<sandbox::ExitStatus> Container::run_first(const ContainerProcessRequest& request,
                                                 const sandbox::ProcessSpec& process, sandbox::ProcessIo& io,
                                                 std::stop_token stop) {
  sandbox::ContainerSpec container{.id = id_,
                                   .root = root_,
                                   .root_readonly = mounts_->root_readonly(),
                                   .mounts = binds_,
                                   .remove_mount_stubs_recursive = request.meta.remove_mount_stubs_recursive,
                                   .hostname = op_.meta.hostname,
                                   .network = network_of(op_.network),
                                   .security = security_of(request.security),
                                   .cgroup_parent = request.meta.cgroup_parent};
  KILN_ASSIGN_OR_RETURN(container.extra_hosts, extra_hosts_of(op_.meta.extra_hosts));
  sandbox::ProcessIo told = io;
  told.on_started = [this, &io] {
    set_stage(Stage::kRunning);
    if (io.on_started) io.on_started();
  };
  return ports_.runtime->run(container, process, told, stop);
}

bool Container::running() {
  std::lock_guard lock(mutex_);
  return stage_ == Stage::kRunning;
}

void Container::set_stage(Stage stage) {
  std::lock_guard lock(mutex_);
  stage_ = stage;
  changed_.notify_all();
}

Status Container::await_running(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return stage_ != Stage::kStarting; })) return cancelled();
  if (stage_ == Stage::kRunning) return ok();
  return user_error(Code::kFailedPrecondition, fmt::format("container {} has stopped", id_));
}

Result<host::Fd> Container::open_mount(std::size_t index) {
  for (const Shown& shown : shown_) {
    if (shown.index != index) continue;
    KILN_ASSIGN_OR_RETURN(host::Fd root, host::open_file(shown.mount.target(), O_PATH | O_DIRECTORY));
    if (join_path("/", shown.selector) == "/") return root;
    return host::open_in_root(root.get(), shown.selector, O_PATH);
  }
  return user_error(Code::kNotFound, fmt::format("container has no mount {} to look into", index));
}

Status Container::release() {
  {
    std::lock_guard lock(mutex_);
    released_ = true;
  }
  stop_.request_stop();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return running_ == 0; });
  shown_.clear();
  folder_ = {};
  mounts_.reset();
  return first_failure_;
}

}  // namespace kiln::op
