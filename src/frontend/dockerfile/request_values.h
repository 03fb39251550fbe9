// Values of single options.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "frontend/bridge.h"
#include "graph/build/sources.h"
#include "graph/op.h"

namespace kiln::frontend::dockerfile {

// All give InvalidArgument for what they cannot read; empty text is the default value.
Result<std::vector<Platform>> read_platforms(std::string_view text);
Result<graph::build::ResolveMode> read_resolve_mode(std::string_view text);
Result<std::vector<graph::HostIp>> read_hosts(std::string_view text);    // "name=ip,…"
Result<std::vector<graph::Ulimit>> read_ulimits(std::string_view text);  // "nofile=1:2,…"
Result<graph::NetMode> read_network(std::string_view text);
// memory, memswap, cpushares, cpuperiod, cpuquota, cpusetcpus, cpusetmems.
Result<std::optional<graph::LinuxResources>> read_resources(const std::map<std::string, std::string>& opts);
// "cache-imports" (JSON) and "cache-from" (references).
Result<std::vector<CacheImport>> read_cache_imports(std::string_view json, std::string_view references);

}  // namespace kiln::frontend::dockerfile
