#include "sandbox/oci_spec.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sandbox/capability.h"
#include "sandbox/dns_files.h"
#include "sandbox/rlimits.h"
#include "sandbox/seccomp_profile.h"
#include "sandbox/security.h"

namespace kiln::sandbox {
namespace {

using Json = nlohmann::json;
constexpr auto kReplace = Json::error_handler_t::replace;

Json mount(std::string_view target, std::string_view type, std::string_view source, std::vector<std::string> options) {
  return {{"destination", target}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

std::string_view compare_name(SeccompCompare compare) {
  switch (compare) {
    case SeccompCompare::kLess: return "SCMP_CMP_LT";
    case SeccompCompare::kEqual: return "SCMP_CMP_EQ";
    case SeccompCompare::kGreater: return "SCMP_CMP_GT";
    case SeccompCompare::kMaskedEqual: return "SCMP_CMP_MASKED_EQ";
  }
  return "SCMP_CMP_EQ";
}

Json seccomp_json(CapabilitySet capabilities) {
  Json calls = Json::array();
  for (const SeccompRule& rule : seccomp_rules(capabilities)) {
    Json entry = {{"names", rule.names}, {"action", rule.errno_value == 0 ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO"}};
    if (rule.errno_value != 0) entry["errnoRet"] = rule.errno_value;
    for (const SeccompArg& arg : rule.args) {
      entry["args"].push_back(
          {{"index", arg.index}, {"value", arg.value}, {"valueTwo", arg.masked}, {"op", compare_name(arg.compare)}});
    }
    calls.push_back(std::move(entry));
  }
  Json architectures = Json::array();
#if defined(__x86_64__)
  architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
  architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#endif
  return {{"defaultAction", "SCMP_ACT_ERRNO"},
          {"defaultErrnoRet", 1},
          {"architectures", architectures},
          {"syscalls", calls}};
}

Json process_json(const ProcessSpec& process, SecurityMode security, const User& user,
                  const std::vector<std::string>& env, const std::string& cwd, const std::string& apparmor_profile) {
  const bool insecure = security == SecurityMode::kInsecure;
  const std::vector<std::string> names = capability_names(insecure ? own_capabilities() : default_capabilities());
  Json capabilities = {{"bounding", names}, {"effective", names}, {"permitted", names}};
  if (insecure) {
    capabilities["inheritable"] = names;
    capabilities["ambient"] = names;
  }
  Json out = {{"terminal", process.tty},
              {"user", {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", user.groups}}},
              {"args", process.args},
              {"env", env},
              {"cwd", cwd.empty() ? "/" : cwd},
              {"capabilities", capabilities},
              {"noNewPrivileges", false}};
  if (!insecure && !apparmor_profile.empty()) out["apparmorProfile"] = apparmor_profile;
  for (const Ulimit& ulimit : process.ulimits) {
    Result<std::vector<ChildLimit>> limit = child_limits({ulimit});
    if (!limit.ok()) continue;
    out["rlimits"].push_back({{"type", "RLIMIT_" + to_upper(ulimit.name)},
                              {"soft", (*limit)[0].value.rlim_cur},
                              {"hard", (*limit)[0].value.rlim_max}});
  }
  return out;
}

Json mounts_json(const ContainerSpec& container, const OciSurroundings& surroundings) {
  const bool insecure = container.security == SecurityMode::kInsecure;
  const std::string sys_mode = insecure ? "rw" : "ro";
  Json out = Json::array();
  if (surroundings.host_pids) {
    out.push_back(mount("/proc", "bind", "/proc", {"rbind"}));
  } else {
    out.push_back(mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  }
  out.push_back(mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  out.push_back(mount("/dev/pts", "devpts", "devpts",
                      {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
  out.push_back(mount("/dev/shm", "tmpfs", "shm",
                      {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", container.shm_bytes)}));
  out.push_back(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  out.push_back(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", sys_mode}));
  out.push_back(
      mount("/etc/resolv.conf", "bind", surroundings.resolv_conf, {"nosuid", "noexec", "nodev", "rbind", "ro"}));
  out.push_back(mount("/etc/hosts", "bind", surroundings.hosts, {"nosuid", "noexec", "nodev", "rbind", "ro"}));
  if (surroundings.cgroup_mount)
    out.push_back(mount("/sys/fs/cgroup", "cgroup", "cgroup", {sys_mode, "nosuid", "noexec", "nodev"}));
  for (const auto& [path, target, options] : surroundings.binds) out.push_back(mount(target, "bind", path, options));
  return out;
}

Json linux_json(const ContainerSpec& container, const OciSurroundings& surroundings) {
  const bool insecure = container.security == SecurityMode::kInsecure;
  Json namespaces = {{{"type", "ipc"}}, {{"type", "uts"}}, {{"type", "mount"}}};
  if (!surroundings.host_pids) namespaces.push_back({{"type", "pid"}});
  if (surroundings.cgroup_namespace) namespaces.push_back({{"type", "cgroup"}});
  if (!surroundings.network_path.empty()) {
    namespaces.push_back({{"type", "network"}, {"path", surroundings.network_path}});
  } else if (container.network == NetworkMode::kNone) {
    namespaces.push_back({{"type", "network"}});
  }
  Json out = {{"namespaces", namespaces}};
  if (!surroundings.cgroups_path.empty()) out["cgroupsPath"] = surroundings.cgroups_path;
  Json& rules = out["resources"]["devices"] = Json::array();
  for (const host::DeviceRule& rule : device_rules(container)) {
    Json entry = {{"allow", rule.allow}, {"type", std::string(1, rule.type)}, {"access", rule.access}};
    if (rule.major >= 0) entry["major"] = rule.major;
    if (rule.minor >= 0) entry["minor"] = rule.minor;
    rules.push_back(std::move(entry));
  }
  const ResourceLimits& limits = container.limits;
  if (limits.memory_bytes != 0) out["resources"]["memory"]["limit"] = limits.memory_bytes;
  if (limits.memory_swap_bytes != 0) out["resources"]["memory"]["swap"] = limits.memory_swap_bytes;
  if (limits.cpu_shares != 0) out["resources"]["cpu"]["shares"] = limits.cpu_shares;
  if (limits.cpu_quota_us != 0) out["resources"]["cpu"]["quota"] = limits.cpu_quota_us;
  if (limits.cpu_period_us != 0) out["resources"]["cpu"]["period"] = limits.cpu_period_us;
  if (!limits.cpuset_cpus.empty()) out["resources"]["cpu"]["cpus"] = limits.cpuset_cpus;
  if (!limits.cpuset_mems.empty()) out["resources"]["cpu"]["mems"] = limits.cpuset_mems;
  if (limits.pids_max > 0) out["resources"]["pids"]["limit"] = limits.pids_max;
  std::vector<Device> extra = container.devices;
  if (insecure) {
    for (Device& device : insecure_devices()) extra.push_back(std::move(device));
  } else {
    out["maskedPaths"] = masked_paths();
    out["readonlyPaths"] = readonly_paths();
    out["seccomp"] = seccomp_json(default_capabilities());
  }
  for (const Device& device : extra) {
    out["devices"].push_back({{"path", device.path},
                              {"type", std::string(1, device.type)},
                              {"major", device.major},
                              {"minor", device.minor},
                              {"fileMode", device.mode},
                              {"uid", device.uid},
                              {"gid", device.gid}});
  }
  return out;
}

}  // namespace

std::string oci_config(const ContainerSpec& container, const ProcessSpec& process, const User& user,
                       const std::vector<std::string>& env, const OciSurroundings& surroundings) {
  const Json config = {
      {"ociVersion", "1.0.2"},
      {"root", {{"path", surroundings.root_path}, {"readonly", container.root_readonly}}},
      {"hostname", container.hostname.empty() ? std::string(kDefaultHostname) : container.hostname},
      {"process", process_json(process, container.security, user, env, process.cwd, surroundings.apparmor_profile)},
      {"mounts", mounts_json(container, surroundings)},
      {"linux", linux_json(container, surroundings)}};
  return config.dump(-1, ' ', false, kReplace);
}

std::string oci_process(const ProcessSpec& process, SecurityMode security, const User& user,
                        const std::vector<std::string>& env, const std::string& cwd,
                        const std::string& apparmor_profile) {
  return process_json(process, security, user, env, cwd, apparmor_profile).dump(-1, ' ', false, kReplace);
}

}  // namespace kiln::sandbox
