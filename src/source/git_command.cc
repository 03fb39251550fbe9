#include "source/git_command.h"

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "registry/http.h"

namespace kiln::source {
namespace {

// Without an argument that old servers do not understand; nothing when there is none.
std::optional<std::vector<std::string>> plainer(const std::vector<std::string>& args, const std::string& err) {
  std::vector<std::string> out = args;
  if (err.find("--depth") != std::string::npos || err.find("shallow") != std::string::npos) {
    if (std::erase(out, "--depth=1") > 0) return out;
  }
  bool refused = err.find("not our ref") != std::string::npos || err.find("unadvertised object") != std::string::npos;
  if (refused && args.size() > 2 && args.front() == "fetch" && is_commit_sha(args.back())) {
    out.pop_back();
    return out;
  }
  return std::nullopt;
}

// Every URL in a text, masked.
std::string redact_text(std::string text) {
  for (std::size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    std::size_t end = text.find_first_of(" \t\n'\"/", at + 3);
    std::size_t sign = text.rfind('@', end);
    if (sign == std::string::npos || sign < at) continue;
    text.replace(at + 3, sign - at - 3, "xxxxx");
  }
  return text;
}

}  // namespace

bool is_commit_sha(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string redact_url(std::string_view url) {
  Result<registry::Url> parsed = registry::parse_url(url);
  if (!parsed.ok() || parsed->user_info.empty()) return std::string(url);
  auto [user, password] = split_once(parsed->user_info, ':');
  bool has_password = parsed->user_info.find(':') != std::string::npos;
  parsed->user_info = std::string(user.empty() ? "" : "xxxxx") + (has_password ? ":xxxxx" : "");
  return parsed->str();
}

Result<GitCommand> GitCommand::find() {
  GitCommand out;
  KILN_ASSIGN_OR_RETURN(out.program_, find_program("git"));
  return out;
}

std::vector<std::string> GitCommand::environment() const {
  std::vector<std::string> out;
  auto pass = [&](const char* name) {
    if (const char* value = std::getenv(name)) out.push_back(fmt::format("{}={}", name, value));
  };
  for (const char* name : {"PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
                           "no_proxy", "all_proxy"}) {
    pass(name);
  }
  out.push_back("GIT_TERMINAL_PROMPT=0");
  out.push_back("GIT_SSH_COMMAND=ssh -F /dev/null " + (known_hosts.empty() ? std::string("-o StrictHostKeyChecking=no")
                                                                           : "-o UserKnownHostsFile=" + known_hosts));
  out.push_back("LC_ALL=C");
  out.push_back("GIT_CONFIG_NOSYSTEM=1");
  out.push_back("HOME=/dev/null");
  out.push_back("GIT_CONFIG_GLOBAL=/dev/null");
  if (!ssh_auth_sock.empty()) out.push_back("SSH_AUTH_SOCK=" + ssh_auth_sock);
  if (!config.empty()) {
    out.push_back(fmt::format("GIT_CONFIG_COUNT={}", config.size()));
    for (std::size_t i = 0; i < config.size(); ++i) {
      out.push_back(fmt::format("GIT_CONFIG_KEY_{}={}", i, config[i].first));
      out.push_back(fmt::format("GIT_CONFIG_VALUE_{}={}", i, config[i].second));
    }
  }
  return out;
}

Result<Outcome> GitCommand::run_once(const std::vector<std::string>& args, const Asker& asker, Logged logged) const {
  // Repositories must not name directories of this machine as their submodules.
  std::vector<std::string> all = {"git", "-c", "protocol.file.allow=user"};
  if (!work_tree.empty()) all.insert(all.end(), {"--work-tree", work_tree});
  if (!git_dir.empty()) all.insert(all.end(), {"--git-dir", git_dir});
  all.insert(all.end(), args.begin(), args.end());
  Program program{
      .path = program_, .args = std::move(all), .env = environment(), .directory = work_tree.empty() ? "/" : work_tree};
  return run_program(program, asker.stop, [&](bool is_err, std::string_view bytes) {
    if (logged == Logged::kNo) return;
    asker.reporter.log(is_err ? event::LogStream::kStderr : event::LogStream::kStdout, redact_text(std::string(bytes)));
  });
}

Result<std::string> GitCommand::run(std::vector<std::string> args, const Asker& asker, Logged logged) const {
  while (true) {
    KILN_ASSIGN_OR_RETURN(Outcome outcome, run_once(args, asker, logged));
    if (outcome.exit_code == 0) return outcome.out;
    if (auto other = plainer(args, outcome.err)) {
      args = *std::move(other);
      continue;
    }
    return user_error(
        Code::kFailedPrecondition,
        fmt::format("git stderr:\n{}: exit status {}", redact_text(std::string(trim(outcome.err))), outcome.exit_code));
  }
}

}  // namespace kiln::source
