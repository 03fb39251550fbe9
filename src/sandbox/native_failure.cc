#include "sandbox/native_failure.h"

#include <cerrno>
#include <cstring>

#include "sandbox/native_mounts.h"

namespace kiln::sandbox {
namespace {

std::string_view stage_text(ChildStage stage) {
  switch (stage) {
    case ChildStage::kNone: break;
    case ChildStage::kCgroup: return "enter the control group";
    case ChildStage::kJoin: return "join the container";
    case ChildStage::kNetwork: return "enter the network namespace";
    case ChildStage::kHostname: return "set the hostname";
    case ChildStage::kMounts: return "mount";
    case ChildStage::kRoot: return "place the root file system";
    case ChildStage::kPivot: return "change the root";
    case ChildStage::kSession: return "open a session";
    case ChildStage::kStdio: return "place standard input and output";
    case ChildStage::kLimits: return "set resource limits";
    case ChildStage::kFilter: return "install the system call filter";
    case ChildStage::kCapabilities: return "drop capabilities";
    case ChildStage::kUser: return "change the user";
    case ChildStage::kDirectory: return "enter the working directory";
    case ChildStage::kProgram: return "start the program";
  }
  return "start the step";
}

std::string lower_first(std::string text) {
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

std::string program_text(const ChildFailure& failure, const ProcessSpec& process) {
  const std::string& name = process.args[0];
  const bool path = name.find('/') != std::string::npos;
  if (failure.error == ENOENT && !path) return fmt::format("exec: \"{}\": executable file not found in $PATH", name);
  const std::string reason = lower_first(std::strerror(failure.error));
  if (failure.error == ENOENT) return fmt::format("exec: \"{}\": stat {}: {}", name, name, reason);
  if (failure.error == ENOEXEC) return fmt::format("exec {}: {}", name, reason);
  return fmt::format("exec: \"{}\": {}", name, reason);
}

}  // namespace

Result<ExitStatus> failed_start(const ChildFailure& failure, const ProcessSpec& process, const NativeMounts* mounts,
                                ProcessIo& io) {
  if (failure.stage == ChildStage::kProgram || failure.stage == ChildStage::kDirectory) {
    const std::string reason =
        failure.stage == ChildStage::kProgram
            ? program_text(failure, process)
            : fmt::format("chdir to cwd (\"{}\"): {}", process.cwd, lower_first(std::strerror(failure.error)));
    const auto& tell = process.tty ? io.on_stdout : io.on_stderr;
    if (tell) tell(fmt::format("unable to start container process: {}\n", reason));
    return ExitStatus{.code = 1};
  }
  std::string what(stage_text(failure.stage));
  if (failure.stage == ChildStage::kMounts && mounts != nullptr) what = mounts->describe(failure.step);
  return errno_error(failure.error, fmt::format("start the step: {}", what));
}

}  // namespace kiln::sandbox
