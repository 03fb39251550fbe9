// Where a container's network comes from, for NetworkMode::kDefault. Declared here because runtimes
// ask for it; the bridge (network_bridge.h), CNI plug-ins (network_cni.h) and the proxy network
// (proxy/proxy_network.h) implement it. Without one, steps share the host's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"

namespace kiln::sandbox {

// As the container sees it: tx is what it sent.
struct NetworkSample {
  std::uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  std::uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

// One container's network namespace, given back when destroyed. Any thread.
class NetworkLease {
 public:
  virtual ~NetworkLease() = default;
  virtual int namespace_fd() const = 0;            // for setns; owned by the lease
  virtual std::string namespace_path() const = 0;  // for OCI runtimes: a path that opens it
  // What went over it since the lease began; nothing when its traffic cannot be counted.
  virtual std::optional<NetworkSample> sample() const = 0;
};

// How a container's network differs from any other's.
struct NetworkWish {
  std::string hostname;  // its own name; known to the network where that has names
  bool fresh = false;    // nobody had it before and nobody gets it afterwards
};

// Any thread.
class Network {
 public:
  virtual ~Network() = default;
  // May block while one is made; Cancelled when stopped meanwhile.
  virtual Result<std::unique_ptr<NetworkLease>> lease(const NetworkWish& wish, std::stop_token stop) = 0;
  // "cni" for the bridge, too, as BuildKit labels its workers.
  virtual std::string label() const = 0;
};

}  // namespace kiln::sandbox
