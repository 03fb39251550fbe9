// `kiln check`: what is doubtful or wrong in a Dockerfile, without building it.
#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"
#include "client/build_run.h"
#include "client/dockerfile/check_report.h"
#include "client/dockerfile/input.h"
#include "client/internal/build_session.h"
#include "client/internal/commands.h"
#include "frontend/dockerfile/check/fix.h"
#include "frontend/dockerfile/frontend.h"
#include "host/fd.h"

namespace kiln::client {
namespace {

namespace df = frontend::dockerfile;

constexpr int kFound = 1;
constexpr int kNotChecked = 2;

Result<std::string> answer_of(const std::map<std::string, std::string>& metadata) {
  auto json = metadata.find("result.json");
  if (json == metadata.end()) return peer_error(Code::kInternal, "the frontend gave no answer to the check");
  return json->second;
}

class Check {
 public:
  Check(const Invocation& call, DockerfileInput input) : call_(call), input_(std::move(input)) {
    input_.bridge.opts["requestid"] = "frontend.lint";
  }

  Result<df::CheckResult> run() {
    const bool ask = call_.line.on("with-images");
    KILN_ASSIGN_OR_RETURN(std::string json, ask ? ask_daemon() : ask_self());
    KILN_ASSIGN_OR_RETURN(df::CheckResult result, df::read_check(json));
    if (!ask) result.findings = df::without_guesses(result.text, result.findings);
    return result;
  }

  // Fixes until nothing changes any more; gives how many findings went away.
  Result<std::size_t> fix(df::CheckResult& result) {
    constexpr int kRoundsMax = 5;
    std::size_t fixed = 0;
    for (int round = 0; round < kRoundsMax; ++round) {
      df::FixResult change = df::fix_findings(result.text, result.findings);
      if (change.fixed.empty()) break;
      fixed += change.fixed.size();
      KILN_RETURN_IF_ERROR(keep(change.text));
      KILN_ASSIGN_OR_RETURN(result, run());
    }
    return fixed;
  }

  std::string shown_path() const {
    std::string path = input_.path == "-" ? "Dockerfile" : input_.path;
    while (path.starts_with("./")) path.erase(0, 2);
    return path;
  }
  const std::optional<std::string>& piped() const { return input_.bridge.build_file; }

 private:
  // A file that was piped in is piped out.
  Status keep(const std::string& text) {
    if (input_.bridge.build_file) {
      input_.bridge.build_file = text;
      return ok();
    }
    return host::write_file(input_.path, text);
  }

  Result<std::string> ask_self() {
    LocalBridge bridge(input_.bridge);
    KILN_ASSIGN_OR_RETURN(auto result, df::make_frontend()->build(bridge, call_.stop));
    return answer_of(result.metadata);
  }

  Result<std::string> ask_daemon() {
    if (input_.bridge.build_file)
      return user_error(Code::kInvalidArgument, "--with-images needs a Dockerfile that is a file");
    KILN_ASSIGN_OR_RETURN(auto connection, connect(call_));
    BuildRequest request;
    request.frontend = "dockerfile.v0";
    request.frontend_attributes = input_.bridge.opts;
    request.local_dirs = input_.bridge.dirs;
    BuildHooks hooks{.told = [](ProgressUpdate) {},
                     .warned = [](const std::string& text) { warn(text); },
                     .environment = call_.environment};
    KILN_ASSIGN_OR_RETURN(BuildOutcome outcome, run_build(*connection, request, hooks, call_.stop));
    return answer_of(outcome.subrequest);
  }

  const Invocation& call_;
  DockerfileInput input_;
};

Status check(const Invocation& call) {
  auto format = find_check_format(call.line.text("format"));
  if (!format) {
    return user_error(Code::kInvalidArgument, fmt::format("unknown format {}; there are text, json, sarif and github",
                                                          quote(call.line.text("format"))));
  }
  KILN_ASSIGN_OR_RETURN(DockerfileInput input, read_dockerfile_input(call));
  Check check(call, std::move(input));
  KILN_ASSIGN_OR_RETURN(df::CheckResult result, check.run());
  std::size_t fixed = 0;
  if (call.line.on("fix")) {
    KILN_ASSIGN_OR_RETURN(fixed, check.fix(result));
  }
  for (const std::string& note : df::unknown_rules(result.text)) warn(fmt::format("{}: {}", check.shown_path(), note));
  if (fixed > 0) {
    (void)host::write_all(STDERR_FILENO,
                          fmt::format("fixed {} finding{} in {}\n", fixed, fixed == 1 ? "" : "s", check.shown_path()));
  }
  if (call.line.on("fix") && check.piped()) {
    KILN_RETURN_IF_ERROR(print(*check.piped()));
  } else {
    KILN_RETURN_IF_ERROR(print(check_report(*format, check.shown_path(), result)));
  }
  return result.findings.empty() && !result.fault ? ok() : exit_with(kFound);
}

}  // namespace

Status run_check(const Invocation& call) {
  Status status = check(call);
  if (status.ok() || exit_code_of(status)) return status;
  (void)host::write_all(STDERR_FILENO, error_report(status, Verbosity::kNormal));
  return exit_with(kNotChecked);
}

}  // namespace kiln::client
