// What a step's request says, in the words of the sandbox: environment, hosts, limits, modes. Shared
// by exec steps and by the containers of frontends.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "graph/op.h"
#include "op/op_factory.h"
#include "sandbox/spec.h"
#include "solve/op.h"

namespace kiln::op {

// The variables of the request, proxies, the default PATH of the platform (none: Linux's), then secrets
// fetched from the clients (blocking, cancellable). NotFound for a secret that no client has and that
// is not optional.
Result<std::vector<std::string>> exec_environment(const graph::Meta& meta, const std::vector<graph::SecretEnv>& secrets,
                                                  const std::optional<Platform>& platform, const OpPorts& ports,
                                                  const solve::RunContext& context);
// What is run, where, as whom, within which limits; the environment is not in it. Some images give their working
// directory with a slash too many: it is clean.
sandbox::ProcessSpec process_of(const graph::Meta& meta);
// InvalidArgument for what is no address.
Result<std::vector<sandbox::ExtraHost>> extra_hosts_of(const std::vector<graph::HostIp>& hosts);
sandbox::ResourceLimits limits_of(const std::optional<graph::LinuxResources>& resources);
sandbox::NetworkMode network_of(graph::NetMode mode);
sandbox::SecurityMode security_of(graph::SecurityMode mode);

}  // namespace kiln::op
