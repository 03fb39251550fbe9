// Where a container's network comes from, for NetworkMode::kDefault. Declared here because runtimes
// ask for it; the bridge (network_bridge.h) implements it. Without one, steps share the host's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"

namespace kiln::sandbox {

struct NetworkSample {
  std::uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  std::uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

// One container's network namespace, given back when destroyed. Any thread.
class NetworkLease {
 public:
  virtual ~NetworkLease() = default;
  virtual int namespace_fd() const = 0;  // for setns; owned by the lease
  virtual std::string namespace_path() const = 0;  // for OCI runtimes: a path that opens it
  virtual Result<NetworkSample> sample() const = 0;
};

// Any thread. `hostname` is what the container is called; a name of one's own gets a fresh namespace.
class Network {
 public:
  virtual ~Network() = default;
  virtual Result<std::unique_ptr<NetworkLease>> lease(const std::string& hostname) = 0;
  // "cni" for the bridge, as BuildKit labels its workers.
  virtual std::string label() const = 0;
};

}  // namespace kiln::sandbox
