#include "client/program.h"

#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "base/command_docs.h"
#include "base/text.h"
#include "base/value.h"
#include "base/version.h"
#include "client/internal/commands.h"
#include "host/fd.h"

namespace kiln::client {
namespace {

constexpr int kUnknownCommandExit = 3;  // as buildctl's
constexpr std::string_view kExitCode = "kiln/exit-code";

std::optional<std::string> environment_variable(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

// Turns the first SIGINT or SIGTERM into a stop, the second into an end.
class SignalStop {
 public:
  SignalStop() {
    sigemptyset(&signals_);
    for (int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals_, signal);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    thread_ = std::jthread([this] {
      int signal = 0;
      while (sigwait(&signals_, &signal) == 0 && signal != SIGUSR1) {
        if (stop_.stop_requested()) _exit(130);
        stop_.request_stop();
      }
    });
  }
  ~SignalStop() { pthread_kill(thread_.native_handle(), SIGUSR1); }
  std::stop_token token() { return stop_.get_token(); }

 private:
  sigset_t signals_;
  std::stop_source stop_;
  std::jthread thread_;
};

Status run_completion(const Invocation& call) {
  if (call.line.arguments().size() != 1) return user_error(Code::kInvalidArgument, "name the shell: bash, zsh or fish");
  KILN_ASSIGN_OR_RETURN(std::string script,
                        completion_script(*call.line.path()[0], call.program, call.line.arguments()[0]));
  return print(script);
}

Status run(const Invocation& call) {
  switch (call.line.command().id) {
    case kBuild: return run_build_command(call);
    case kQuickBuild: return run_quick_build(call);
    case kDiskUsage: return run_disk_usage(call);
    case kPrune: return run_prune(call);
    case kPruneHistories: return run_prune_histories(call);
    case kDialStdio: return run_dial_stdio(call);
    case kDebugWorkers: return run_workers(call);
    case kDebugInfo: return run_info(call);
    case kDebugHistories: return run_histories(call);
    case kDebugLogs: return run_logs(call);
    case kDebugMonitor: return run_monitor(call);
    case kDebugCtl: return run_ctl(call);
    case kDebugGet: return run_get(call);
    case kDebugDumpLlb: return run_dump_llb(call);
    case kDebugDumpMetadata: return run_dump_metadata(call);
    case kCheck: return run_check(call);
    case kExplain: return run_explain(call);
    case kWhy: return run_why(call);
    case kCompletion: return run_completion(call);
    case kMan: return print(man_page(*call.line.path()[0], call.program, kVersion, 1));
    default: return engine_error("the command has no action");
  }
}

int fail(const Status& status, Verbosity verbosity) {
  if (auto code = exit_code_of(status)) return *code;
  std::string report = error_report(status, verbosity);
  (void)host::write_all(STDERR_FILENO, report);
  return 1;
}

}  // namespace

Status exit_with(int code) {
  Status status = user_error(Code::kAborted, "done");
  set_detail(status, kExitCode, std::to_string(code));
  return status;
}

std::optional<int> exit_code_of(const Status& status) {
  auto text = get_detail(status, kExitCode);
  if (!text) return std::nullopt;
  return static_cast<int>(parse_integer(*text).value_or(1));
}

Status print(std::string_view text) { return host::write_all(STDOUT_FILENO, text); }

void warn(std::string_view text) { (void)host::write_all(STDERR_FILENO, fmt::format("warning: {}\n", text)); }

int run_program_main(int argc, char** argv) {
  // gRPC's many threads would each begin an arena; what that takes from the kernel costs more than sharing one.
  ::mallopt(M_ARENA_MAX, 1);
  // gRPC writes its own view of a failure to stderr; ours is enough unless somebody asks.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  std::string program(argc > 0 ? std::string_view(argv[0]).substr(std::string_view(argv[0]).rfind('/') + 1) : "kiln");
  const Command& table = program.starts_with("buildctl") ? buildctl_table() : kiln_table();
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  Result<CommandLine> line = CommandLine::parse(table, arguments);
  if (!line.ok()) {
    const int code = fail(line.status(), Verbosity::kNormal);
    return get_detail(line.status(), kUnknownCommandDetail) ? kUnknownCommandExit : code;
  }
  if (line->wants_version())
    return print(fmt::format("{} {} {} {}\n", program, kPackage, kCompatibleVersion, kRevision)).ok() ? 0 : 1;
  if (line->wants_help()) return print(help_text(line->path(), program)).ok() ? 0 : 1;
  if (std::string format = line->text("log-format"); format != "text" && format != "json") {
    return fail(user_error(Code::kInvalidArgument, fmt::format("unsupported log type \"{}\"", format)),
                Verbosity::kNormal);
  }
  SignalStop signals;
  Invocation call{*line, program, environment_variable, signals.token()};
  Status status = run(call);
  if (status.ok()) return 0;
  int code = fail(status, line->on("debug") ? Verbosity::kDebug : Verbosity::kNormal);
  return call.stop.stop_requested() ? 130 : code;
}

}  // namespace kiln::client
