// What the daemon says of itself as a worker, and the choices that its configuration leaves to the
// machine: labels, platforms, collection policy, network.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "frontend/bridge.h"
#include "host/fs.h"
#include "sandbox/container_devices.h"
#include "sandbox/foreign_programs.h"
#include "sandbox/network.h"
#include "store/gc.h"

namespace kiln::daemon {

// Found out while the engine opened.
struct WorkerFacts {
  std::string snapshotter;
  std::string network;
  std::shared_ptr<const sandbox::ContainerDevices> devices;     // null: none
  std::shared_ptr<const sandbox::Architectures> architectures;  // null: the machine's own alone
};

// Labels are BuildKit's (org.mobyproject.buildkit.worker.…) and the configured ones; platforms are the
// configured ones, or this machine's with what it can emulate.
frontend::WorkerInfo worker_info(const Config& config, const WorkerFacts& facts, const std::string& id);

// The configured rules, or the default ones with the configured limits; empty when collection is off.
std::vector<store::PruneOptions> gc_policy_of(const Config& config, const host::DiskSpace& disk);

// By the configured mode; "auto" is a bridge when BUILDKIT_NETWORK_BRIDGE_AUTO says so, else CNI when
// it is configured, else the host's. Null: steps share the host's network. Fails with what the network
// lacks; InvalidArgument for an unknown mode.
Result<std::shared_ptr<sandbox::Network>> open_network(const Config& config);

}  // namespace kiln::daemon
