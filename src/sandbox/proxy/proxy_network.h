// The proxy network: a step that can reach nothing but an HTTP(S) proxy of the daemon's. Its namespace
// holds a loopback interface alone, on which the proxy listens; the proxy's own connections leave by
// the network that the step would have had. So every request can be allowed or refused by policy and
// recorded, and nothing passes by.
//
//   ProxyNetwork proxies(default_network);
//   KILN_ASSIGN_OR_RETURN(auto session, proxies.start({.decide = …, .egress = Egress::kDefault}, stop));
//   container.own_network = session->network(); env += session->environment(); …run…; session->finish();
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "sandbox/network.h"
#include "sandbox/proxy/authority.h"
#include "sandbox/proxy/capture.h"
#include "sandbox/proxy/exchange.h"

namespace kiln::sandbox::proxy {

enum class Egress {
  kDefault,  // the worker's network for steps
  kHost,     // the daemon's own
};

struct SessionRequest {
  Decide decide;  // null: everything is allowed
  Egress egress = Egress::kDefault;
};

// One step's proxy. Any thread.
class Session {
 public:
  virtual ~Session() = default;  // as finish
  // Where the step runs.
  virtual std::shared_ptr<const NetworkLease> network() const = 0;
  // HTTP_PROXY and the like.
  virtual std::vector<std::string> environment() const = 0;
  // PEM of the authority that the step must trust.
  virtual const std::string& certificate() const = 0;
  // Ends all connections; afterwards the capture is complete. Idempotent.
  virtual void finish() = 0;
  virtual const Capture& capture() const = 0;
};

// Any thread; outlives its sessions.
class ProxyNetwork {
 public:
  // Null: steps, and so proxies, use the host's network.
  explicit ProxyNetwork(std::shared_ptr<Network> default_network);
  ~ProxyNetwork();
  // Makes the authority when it is the first. Blocks for milliseconds, or until the default network
  // has a namespace.
  Result<std::unique_ptr<Session>> start(SessionRequest request, std::stop_token stop);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::sandbox::proxy
