// The proxy network of one exec step, if its build has one: started before the step, read after it.
//
//   ExecProxy proxy(ports);
//   KILN_RETURN_IF_ERROR(proxy.start(exec, container, process, stop));
//   … run … ; proxy.finish(vertex.digest, reporter);
#pragma once

#include <memory>
#include <stop_token>

#include "base/status.h"
#include "event/event.h"
#include "graph/op.h"
#include "op/op_factory.h"
#include "sandbox/proxy/proxy_network.h"
#include "sandbox/spec.h"

namespace kiln::op {

// One thread; lives as long as the step.
class ExecProxy {
 public:
  explicit ExecProxy(const OpPorts& ports) : ports_(ports) {}
  // Puts the step behind the proxy: network, environment and trust. Nothing for steps without network
  // and for builds without a proxy. Fails when the network cannot be made.
  Status start(const graph::ExecOp& exec, sandbox::ContainerSpec& container, sandbox::ProcessSpec& process,
               std::stop_token stop);
  // Logs the requests and remembers what was fetched.
  void finish(const Digest& vertex, event::Reporter& reporter);

 private:
  const OpPorts& ports_;
  std::unique_ptr<sandbox::proxy::Session> session_;
};

}  // namespace kiln::op
