#include "daemon/gateway_containers.h"

#include <fmt/format.h>
#include <signal.h>

#include <cstring>
#include <map>
#include <mutex>

#include "base/text.h"
#include "daemon/bridge_messages.h"
#include "daemon/build_bridge.h"
#include "daemon/tree_files.h"
#include "event/event.h"
#include "graph/definition.h"
#include "op/container.h"
#include "op/tree_output.h"
#include "sandbox/runtime.h"
#include "wire/gateway.pb.h"

namespace kiln::daemon {
namespace {

namespace api = moby::buildkit::v1::frontend;

// The exec op that a request's parts would make: decoded by the one who decodes all ops.
Result<graph::ExecOp> decode_exec(const pb::ExecOp& exec) {
  pb::Op op;
  *op.mutable_exec() = exec;
  KILN_ASSIGN_OR_RETURN(graph::Op decoded, graph::decode_op(op.SerializeAsString()));
  return std::get<graph::ExecOp>(std::move(decoded.kind));
}

Result<int> signal_number(const std::string& name) {
  std::string_view short_name = name;
  if (short_name.starts_with("SIG")) short_name.remove_prefix(3);
  for (int number = 1; number < NSIG; ++number) {
    const char* known = ::sigabbrev_np(number);
    if (known != nullptr && short_name == known) return number;
  }
  return user_error(Code::kInvalidArgument, fmt::format("Unknown signal {}", name));
}

class RunningProcess final : public ContainerProcess {
 public:
  Status write(int descriptor, std::string_view bytes, bool end) override {
    if (descriptor != 0) return user_error(Code::kOutOfRange, fmt::format("fd {} unavailable to write", descriptor));
    // A program that does not read any more is no error of the writer.
    if (!bytes.empty()) (void)control_.write_stdin(bytes);
    if (end) control_.close_stdin();
    return ok();
  }
  Status resize(int rows, int columns) override {
    control_.resize(static_cast<unsigned>(rows), static_cast<unsigned>(columns));
    return ok();
  }
  Status signal(const std::string& name) override {
    KILN_ASSIGN_OR_RETURN(int number, signal_number(name));
    control_.signal(number);
    return ok();
  }
  sandbox::ProcessControl& control() { return control_; }

 private:
  sandbox::ProcessControl control_;
};

class RealContainers final : public GatewayContainers {
 public:
  RealContainers(RunningBuild& build, std::shared_ptr<BridgeContext> context)
      : build_(build), context_(std::move(context)) {}

  Status create(const api::NewContainerRequest& request, Gateway& gateway, std::stop_token stop) override;
  Status release(const std::string& id) override;
  Result<std::shared_ptr<ContainerProcess>> start(const api::InitMessage& request, ProcessEvents events,
                                                  std::stop_token stop) override;
  Result<std::string> read_file(const std::string& id, int mount, const frontend::ReadRequest& request) override {
    KILN_ASSIGN_OR_RETURN(host::Fd root, open_mount(id, mount));
    return read_file_in(root.get(), request);
  }
  Result<std::vector<frontend::FileStat>> read_dir(const std::string& id, int mount, const std::string& path,
                                                   const std::string& include_pattern) override {
    KILN_ASSIGN_OR_RETURN(host::Fd root, open_mount(id, mount));
    return read_dir_in(root.get(), path, include_pattern);
  }
  Result<frontend::FileStat> stat_file(const std::string& id, int mount, const std::string& path) override {
    KILN_ASSIGN_OR_RETURN(host::Fd root, open_mount(id, mount));
    return stat_in(root.get(), path);
  }

 private:
  Result<store::TreeRef> tree_of(const std::string& id, Gateway& gateway, std::stop_token stop);
  Result<std::shared_ptr<op::Container>> find(const std::string& id);
  Result<host::Fd> open_mount(const std::string& id, int mount);
  solve::RunContext run_context(std::stop_token stop);

  RunningBuild& build_;
  std::shared_ptr<BridgeContext> context_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<op::Container>> containers_;
};

solve::RunContext RealContainers::run_context(std::stop_token stop) {
  return {std::move(stop), event::null_reporter(), {}, [session = build_.request().session] {
            return std::vector<std::string>{session};
          }};
}

// An id names a tree of a failed step, or a ref that the gateway gave out.
Result<store::TreeRef> RealContainers::tree_of(const std::string& id, Gateway& gateway, std::stop_token stop) {
  if (store::TreeRef failed = context_->failed->find(id)) return failed;
  auto ref = gateway.ref(id);
  if (!ref.ok()) return user_error(Code::kNotFound, fmt::format("failed to find ref {} for a mount", id));
  auto* mine = dynamic_cast<BuildRef*>(ref->get());
  if (mine == nullptr) return store::TreeRef();
  KILN_ASSIGN_OR_RETURN(solve::Solved solved, mine->solved(std::move(stop)));
  return op::tree_of(solved.output);
}

Status RealContainers::create(const api::NewContainerRequest& request, Gateway& gateway, std::stop_token stop) {
  const std::string& id = request.containerid();
  if (id.empty()) return user_error(Code::kInvalidArgument, "ContainerID required");
  if (request.network() == pb::HOST) KILN_RETURN_IF_ERROR(context_->entitlements.check_host_network());
  pb::ExecOp exec;
  *exec.mutable_mounts() = request.mounts();
  *exec.mutable_meta()->mutable_extrahosts() = request.extrahosts();
  exec.set_network(request.network());
  KILN_ASSIGN_OR_RETURN(graph::ExecOp decoded, decode_exec(exec));
  op::ContainerRequest make;
  make.mounts = std::move(decoded.mounts);
  make.network = decoded.network;
  make.extra_hosts = std::move(decoded.meta.extra_hosts);
  make.hostname = request.hostname();
  make.platform = from_message(request.has_platform() ? &request.platform() : nullptr);
  for (graph::Mount& mount : make.mounts) {
    mount.input = graph::kNoInput;
    if (mount.result_id.empty()) continue;
    KILN_ASSIGN_OR_RETURN(store::TreeRef tree, tree_of(mount.result_id, gateway, stop));
    if (tree == nullptr) continue;
    mount.input = static_cast<std::int64_t>(make.inputs.size());
    make.inputs.push_back(std::move(tree));
  }
  solve::RunContext run = run_context(stop);
  KILN_ASSIGN_OR_RETURN(auto container, op::Container::make(std::move(make), context_->ports, run));
  std::lock_guard lock(mutex_);
  if (!containers_.emplace(id, std::move(container)).second) {
    return user_error(Code::kAlreadyExists, fmt::format("container {} already exists", id));
  }
  return ok();
}

Status RealContainers::release(const std::string& id) {
  std::shared_ptr<op::Container> container;
  {
    std::lock_guard lock(mutex_);
    auto it = containers_.find(id);
    if (it == containers_.end())
      return user_error(Code::kNotFound, fmt::format("container details for {} not found", id));
    container = std::move(it->second);
    containers_.erase(it);
  }
  return container->release();
}

Result<std::shared_ptr<op::Container>> RealContainers::find(const std::string& id) {
  std::lock_guard lock(mutex_);
  auto it = containers_.find(id);
  if (it == containers_.end()) {
    return user_error(Code::kNotFound, fmt::format("container \"{}\" previously released or not created", id));
  }
  return it->second;
}

Result<host::Fd> RealContainers::open_mount(const std::string& id, int mount) {
  KILN_ASSIGN_OR_RETURN(auto container, find(id));
  if (mount < 0) return user_error(Code::kInvalidArgument, fmt::format("invalid mount index {}", mount));
  return container->open_mount(static_cast<std::size_t>(mount));
}

Result<std::shared_ptr<ContainerProcess>> RealContainers::start(const api::InitMessage& request, ProcessEvents events,
                                                                std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(auto container, find(request.containerid()));
  if (!pb::SecurityMode_IsValid(request.security())) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid security mode {}", static_cast<int>(request.security())));
  }
  if (request.security() == pb::INSECURE) KILN_RETURN_IF_ERROR(context_->entitlements.check_insecure());
  pb::ExecOp exec;
  *exec.mutable_meta() = request.meta();
  *exec.mutable_secretenv() = request.secretenv();
  exec.set_security(request.security());
  KILN_ASSIGN_OR_RETURN(graph::ExecOp decoded, decode_exec(exec));
  op::ContainerProcessRequest what{std::move(decoded.meta), request.tty(), decoded.security,
                                   std::move(decoded.secret_env)};
  auto process = std::make_shared<RunningProcess>();
  if (!events.wanted.contains(0)) process->control().close_stdin();
  // Further programs are told as started at once. A client may read the messages of all programs in turn and
  // hand the output of one to the next: it would never come to the start of the next behind the end of the first.
  const bool told = container->running();
  if (told) events.started();
  context_->ports.pool->submit(
      [this, container, process, what = std::move(what), events = std::move(events), told, stop = std::move(stop)] {
        // Output may come first, of a program that could not be started; a client wants to hear of the start before it.
        std::once_flag once;
        const auto tell_start = [&] {
          std::call_once(once, [&] {
            if (!told) events.started();
          });
        };
        const auto output = [&](int descriptor) {
          return [&, descriptor](std::string_view bytes) {
            tell_start();
            events.output(descriptor, bytes);
          };
        };
        sandbox::ProcessIo io;
        io.on_started = tell_start;
        if (events.wanted.contains(1)) io.on_stdout = output(1);
        if (events.wanted.contains(2)) io.on_stderr = output(2);
        io.control = &process->control();
        solve::RunContext run = run_context(stop);
        Result<sandbox::ExitStatus> exit = container->run(what, io, run);
        process->control().close_stdin();  // whoever still writes need not wait
        // A client waits for the start before it looks for the end.
        tell_start();
        if (!exit.ok()) return events.exited(kUnknownExit, exit.status());
        if (op::is_valid_exit(what.meta, exit->code)) return events.exited(exit->code, ok());
        events.exited(exit->code, sandbox::exit_error({}, *exit));
      });
  return std::shared_ptr<ContainerProcess>(std::move(process));
}

}  // namespace

std::shared_ptr<GatewayContainers> make_gateway_containers(RunningBuild& build,
                                                           std::shared_ptr<BridgeContext> context) {
  return std::make_shared<RealContainers>(build, std::move(context));
}

}  // namespace kiln::daemon
