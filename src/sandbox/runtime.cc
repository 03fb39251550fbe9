#include "sandbox/runtime.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "base/id.h"
#include "base/log.h"
#include "base/quote.h"
#include "base/text.h"
#include "base/value.h"
#include "host/cgroup.h"
#include "host/fs.h"
#include "sandbox/native_runner.h"
#include "sandbox/oci_runtime.h"

namespace kiln::sandbox {
namespace {

// A write to a process that closed its input must be an error, not our end.
void survive_broken_pipes() {
  struct sigaction now {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) (void)std::signal(SIGPIPE, SIG_IGN);
}

// Runs a program that cannot exist in an empty tree: everything up to execve must work, and execve
// must say that there is nothing.
Status self_test(Runtime& runtime, const std::string& state_root) {
  const std::string folder = fmt::format("{}/probe-{}", state_root, new_id());
  KILN_RETURN_IF_ERROR(host::make_dirs(folder));
  std::string said;
  ProcessIo io{.on_stderr = [&](std::string_view text) { said.append(text); }};
  ContainerSpec container{.id = new_id(), .root = {"bind", folder, {}}, .network = NetworkMode::kHost};
  Result<ExitStatus> exit = runtime.run(container, {.args = {"/kiln-probe"}}, io, {});
  (void)host::remove_all(folder);
  KILN_RETURN_IF_ERROR(exit.status());
  if (exit->code == 0 || said.find("kiln-probe") == std::string::npos) {
    return make_error(Fault::kEnvironment, Code::kFailedPrecondition,
                      fmt::format("it ended with {} and said '{}'", exit->code, trim(said)));
  }
  return ok();
}

bool kernel_has(const char* switch_file) {
  Result<std::string> text = host::read_file(switch_file, 16);
  return text.ok() && (text->starts_with('Y') || text->starts_with('1') || text->starts_with('0'));
}

// What the configuration asks for must be there: a step that is confined less than it should be is
// worse than none.
Status check_security_modules(const RuntimeOptions& options) {
  const std::string& profile = options.apparmor_profile;
  if (!profile.empty() && profile != "unconfined" && !kernel_has("/sys/module/apparmor/parameters/enabled")) {
    return environment_error(
        Code::kFailedPrecondition,
        fmt::format("AppArmor profile '{}' is configured for steps, but this kernel runs without AppArmor", profile));
  }
  if (options.selinux && !kernel_has("/sys/fs/selinux/enforce")) {
    return environment_error(Code::kFailedPrecondition,
                             "SELinux labels are configured for steps, but this kernel runs without SELinux");
  }
  if (options.selinux)
    return environment_error(Code::kUnimplemented, "SELinux labels for steps are not supported; leave the setting out");
  return ok();
}

// Inside a container the root of version 2 holds processes, and so could hold no groups.
void make_room_for_groups() {
  const char* wanted = std::getenv("BUILDKIT_SETUP_CGROUPV2_ROOT");
  if (!parse_bool(wanted != nullptr ? wanted : "").value_or(false)) return;
  const host::CgroupTree tree = host::CgroupTree::probe();
  if (tree.layout() != host::CgroupLayout::kV2) return;
  if (Status made = tree.make_root_leafless(); !made.ok())
    log_warn("failed to prepare cgroup controllers: {}", message_of(made));
}

}  // namespace

Result<std::unique_ptr<Runtime>> open_runtime(RuntimeOptions options) {
  survive_broken_pipes();
  KILN_RETURN_IF_ERROR(check_security_modules(options));
  make_room_for_groups();
  KILN_RETURN_IF_ERROR(host::make_dirs(options.state_root, 0711));
  std::string tried;
  auto prove = [&](Result<std::unique_ptr<Runtime>> made, std::string_view name) -> std::unique_ptr<Runtime> {
    Status status = made.status();
    if (status.ok()) status = self_test(**made, options.state_root);
    if (status.ok()) {
      log_info("steps are run by {}", (*made)->name());
      return std::move(*made);
    }
    log_debug("runtime '{}' does not work here: {}", name, message_of(status));
    tried += fmt::format("{}'{}': {}", tried.empty() ? "" : "; ", name, message_of(status));
    return nullptr;
  };
  const std::string wanted = options.binary;
  const bool confined = !options.apparmor_profile.empty() && options.apparmor_profile != "unconfined";
  if (confined && wanted == "native") {
    return environment_error(Code::kFailedPrecondition,
                             "an AppArmor profile for steps needs crun or runc; configure one as the worker's binary");
  }
  if (!confined && (wanted.empty() || wanted == "native")) {
    Result<std::unique_ptr<NativeRunner>> native = NativeRunner::open(options);
    Result<std::unique_ptr<Runtime>> made = native.ok() ? Result<std::unique_ptr<Runtime>>(std::move(*native))
                                                        : Result<std::unique_ptr<Runtime>>(native.status());
    if (auto runtime = prove(std::move(made), "native")) return runtime;
  }
  std::vector<std::string> programs = {"buildkit-runc", "crun", "runc"};
  if (!wanted.empty()) programs = {wanted};
  if (wanted == "native") programs.clear();
  for (const std::string& program : programs) {
    if (auto runtime = prove(open_oci_runtime(options, program), program)) return runtime;
  }
  return environment_error(
      Code::kFailedPrecondition,
      fmt::format("no container runtime works here ({}); install crun or runc, or run as root", tried));
}

Status exit_error(const ProcessSpec& process, const ExitStatus& exit) {
  const std::string reason = exit.oom_killed ? "cannot allocate memory" : fmt::format("exit code: {}", exit.code);
  const std::string what =
      process.args.empty() ? ""
                           : fmt::format("process {} did not complete successfully: ", quote(join(process.args, " ")));
  Status status = user_error(exit.oom_killed ? Code::kResourceExhausted : Code::kUnknown, what + reason);
  // ExitMessage { uint32 Code = 1; } (gateway.proto)
  std::string message;
  if (exit.code != 0) {
    message = "\x08";
    for (auto rest = static_cast<std::uint32_t>(exit.code);;) {
      const bool more = rest > 0x7F;
      message.push_back(static_cast<char>((rest & 0x7F) | (more ? 0x80 : 0)));
      if (!more) break;
      rest >>= 7;
    }
  }
  set_detail(status, kExitDetail, message);
  return status;
}

}  // namespace kiln::sandbox
