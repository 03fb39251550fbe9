#include "op/exec_environment.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/gopath.h"
#include "base/quote.h"
#include "base/text.h"
#include "session/secrets.h"

namespace kiln::op {
namespace {

constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::string_view kWindowsPath =
    R"(c:\Windows\System32;c:\Windows;C:\Windows\System32\WindowsPowerShell\v1.0)";

void add_proxy(std::vector<std::string>& env, std::string_view name, const std::string& value) {
  if (value.empty()) return;
  env.push_back(fmt::format("{}={}", to_upper(name), value));
  env.push_back(fmt::format("{}={}", name, value));
}

bool is_address(const std::string& text) {
  unsigned char buffer[16];
  return ::inet_pton(AF_INET, text.c_str(), buffer) == 1 || ::inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

}  // namespace

Result<std::vector<std::string>> exec_environment(const graph::Meta& meta, const std::vector<graph::SecretEnv>& secrets,
                                                  const std::optional<Platform>& platform, const OpPorts& ports,
                                                  const solve::RunContext& context) {
  std::vector<std::string> env = meta.env;
  if (const auto& proxy = meta.proxy_env) {
    add_proxy(env, "http_proxy", proxy->http_proxy);
    add_proxy(env, "https_proxy", proxy->https_proxy);
    add_proxy(env, "ftp_proxy", proxy->ftp_proxy);
    add_proxy(env, "no_proxy", proxy->no_proxy);
    add_proxy(env, "all_proxy", proxy->all_proxy);
  }
  const bool has_path =
      std::any_of(env.begin(), env.end(), [](const std::string& e) { return e.starts_with("PATH="); });
  if (!has_path)
    env.push_back(fmt::format("PATH={}", platform && platform->os == "windows" ? kWindowsPath : kDefaultPath));
  if (secrets.empty()) return env;
  auto asker = session::secret_asker(sessions_of(ports, context));
  for (const graph::SecretEnv& secret : secrets) {
    if (secret.id.empty()) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("secret ID missing for {} environment variable", quote(secret.name)));
    }
    KILN_ASSIGN_OR_RETURN(std::optional<std::string> text, asker->get_secret(secret.id, context.stop));
    if (!text && !secret.optional) return user_error(Code::kNotFound, fmt::format("secret {}: not found", secret.id));
    env.push_back(fmt::format("{}={}", secret.name, text.value_or("")));
  }
  return env;
}

sandbox::ProcessSpec process_of(const graph::Meta& meta) {
  sandbox::ProcessSpec out{
      .args = meta.args, .cwd = meta.cwd.empty() ? std::string() : clean_path(meta.cwd), .user = meta.user};
  for (const graph::Ulimit& ulimit : meta.ulimits) out.ulimits.push_back({ulimit.name, ulimit.soft, ulimit.hard});
  return out;
}

Result<std::vector<sandbox::ExtraHost>> extra_hosts_of(const std::vector<graph::HostIp>& hosts) {
  std::vector<sandbox::ExtraHost> out;
  for (const graph::HostIp& host : hosts) {
    if (!is_address(host.ip)) return user_error(Code::kInvalidArgument, fmt::format("failed to parse IP {}", host.ip));
    out.push_back({host.host, host.ip});
  }
  return out;
}

sandbox::ResourceLimits limits_of(const std::optional<graph::LinuxResources>& resources) {
  if (!resources) return {};
  return {.memory_bytes = resources->memory,
          .memory_swap_bytes = resources->memory_swap,
          .cpu_shares = resources->cpu_shares,
          .cpu_period_us = resources->cpu_period,
          .cpu_quota_us = resources->cpu_quota,
          .cpuset_cpus = resources->cpuset_cpus,
          .cpuset_mems = resources->cpuset_mems};
}

sandbox::NetworkMode network_of(graph::NetMode mode) {
  switch (mode) {
    case graph::NetMode::kSandbox: return sandbox::NetworkMode::kDefault;
    case graph::NetMode::kHost: return sandbox::NetworkMode::kHost;
    case graph::NetMode::kNone: return sandbox::NetworkMode::kNone;
  }
  return sandbox::NetworkMode::kDefault;
}

sandbox::SecurityMode security_of(graph::SecurityMode mode) {
  return mode == graph::SecurityMode::kInsecure ? sandbox::SecurityMode::kInsecure : sandbox::SecurityMode::kSandbox;
}

}  // namespace kiln::op
