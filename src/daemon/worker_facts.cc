#include "daemon/worker_facts.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "base/quote.h"
#include "base/value.h"
#include "sandbox/network_bridge.h"
#include "sandbox/network_cni.h"

namespace kiln::daemon {
namespace {

// The configured ones first, then what else the machine runs.
std::vector<Platform> platforms_of(const Config& config, const WorkerFacts& facts) {
  std::vector<Platform> out;
  for (const std::string& text : config.worker.platforms) {
    auto platform = Platform::parse(text);
    if (platform.ok() && std::find(out.begin(), out.end(), *platform) == out.end()) out.push_back(*std::move(platform));
  }
  for (Platform& platform : facts.architectures ? facts.architectures->platforms() : std::vector{Platform::host()}) {
    const bool served = std::any_of(out.begin(), out.end(), [&](const Platform& one) {
      return !config.worker.platforms.empty() && best_platform({platform}, one) == 0;
    });
    if (!served) out.push_back(std::move(platform));
  }
  return out;
}

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  return name;
}

}  // namespace

frontend::WorkerInfo worker_info(const Config& config, const WorkerFacts& facts, const std::string& id) {
  frontend::WorkerInfo out;
  out.id = id;
  const std::string prefix = "org.mobyproject.buildkit.worker.";
  out.labels = {{prefix + "executor", "oci"},
                {prefix + "hostname", host_name()},
                {prefix + "snapshotter", facts.snapshotter},
                {prefix + "network", facts.network},
                {prefix + "oci.process-mode", config.worker.no_process_sandbox ? "no-sandbox" : "sandbox"},
                {prefix + "selinux.enabled", config.worker.selinux ? "true" : "false"}};
  if (!config.worker.apparmor_profile.empty()) out.labels[prefix + "apparmor.profile"] = config.worker.apparmor_profile;
  for (const auto& [key, value] : config.worker.labels) out.labels[key] = value;
  out.platforms = platforms_of(config, facts);
  if (facts.devices) {
    for (sandbox::ContainerDevice& device : facts.devices->list()) {
      out.devices.push_back({std::move(device.name), device.auto_allowed, std::move(device.annotations)});
    }
  }
  return out;
}

std::vector<store::PruneOptions> gc_policy_of(const Config& config, const host::DiskSpace& disk) {
  if (!config.worker.gc) return {};
  if (config.worker.gc_policy.empty()) return store::default_gc_policy(config.worker.gc_limits, disk);
  std::vector<store::PruneOptions> out;
  for (const auto& rule : config.worker.gc_policy) {
    store::PruneOptions options;
    options.all = rule.all;
    options.filters = rule.filters;
    options.keep_duration = rule.keep_duration;
    options.reserved_space = rule.reserved.of(disk);
    options.max_used_space = rule.max_used.of(disk);
    options.min_free_space = rule.min_free.of(disk);
    out.push_back(std::move(options));
  }
  return out;
}

namespace {

Result<std::shared_ptr<sandbox::Network>> open_bridge(const NetworkConfig& network) {
  sandbox::BridgeOptions options;
  if (!network.bridge_name.empty()) options.bridge = network.bridge_name;
  if (!network.bridge_subnet.empty()) options.subnet = network.bridge_subnet;
  options.pool_size = network.cni_pool_size;
  return sandbox::open_bridge_network(std::move(options));
}

Result<std::shared_ptr<sandbox::Network>> open_cni(const Config& config) {
  const NetworkConfig& network = config.worker.network;
  return sandbox::open_cni_network({.config = network.cni_config_path,
                                    .program_folder = network.cni_binary_dir,
                                    .state_folder = config.root + "/sandbox/cni",
                                    .pool_size = network.cni_pool_size});
}

bool bridge_by_environment() {
  const char* value = std::getenv("BUILDKIT_NETWORK_BRIDGE_AUTO");
  return parse_bool(value != nullptr ? value : "").value_or(false);
}

}  // namespace

Result<std::shared_ptr<sandbox::Network>> open_network(const Config& config) {
  const NetworkConfig& network = config.worker.network;
  const std::string& mode = network.mode;
  if (mode == "host") return std::shared_ptr<sandbox::Network>();
  if (mode == "bridge") return open_bridge(network);
  if (mode == "cni") return open_cni(config);
  if (mode != "auto" && !mode.empty()) {
    return user_error(Code::kInvalidArgument, fmt::format("invalid network mode: {}", quote(mode)));
  }
  if (bridge_by_environment()) return open_bridge(network);
  if (host::exists(network.cni_config_path)) return open_cni(config);
  log_warn("using host network as the default");
  return std::shared_ptr<sandbox::Network>();
}

}  // namespace kiln::daemon
