// What the options of a build ask for: the client's strings, read once.
//
//   KILN_ASSIGN_OR_RETURN(Request request, read_request(bridge.options()));
//
// First step of dockerfile.v0, before any file is read. Options: docs of BuildKit's dockerfile.v0.
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
#include "frontend/dockerfile/lint.h"
#include "graph/build/sources.h"
#include "graph/op.h"

namespace kiln::frontend::dockerfile {

struct SbomRequest {
  std::string generator;  // full image reference
  std::map<std::string, std::string> parameters;
};

// A plain value. `opts` is the client's map with the aliases among them resolved.
struct Request {
  std::map<std::string, std::string> opts;
  std::string session_id;
  std::map<std::string, std::string> build_args;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> local_sessions;  // name of a local → session that gives it
  std::string target;
  std::string cache_namespace;
  std::string cgroup_parent;
  std::string hostname;
  std::vector<graph::HostIp> extra_hosts;
  std::vector<graph::Ulimit> ulimits;
  std::optional<graph::LinuxResources> resources;
  std::int64_t shm_bytes = 0;
  graph::NetMode network = graph::NetMode::kSandbox;
  graph::build::ResolveMode resolve_mode = graph::build::ResolveMode::kDefault;
  std::optional<std::string> lint_arg;
  std::vector<CacheImport> cache_imports;
  std::vector<Platform> target_platforms;  // empty: the build platform, or what the base image says
  std::vector<Platform> build_platforms;   // at least one
  bool multi_platform = false;
  std::optional<SbomRequest> sbom;
  std::optional<std::vector<std::string>> no_cache;  // empty list: every stage

  // The value of an option; empty when it is not given.
  const std::string& opt(const std::string& name) const;
  bool has(const std::string& name) const { return opts.contains(name); }
  // Whether steps of the stage of that name must not be answered from the cache.
  bool ignores_cache(std::string_view stage) const;
  // The session that gives the local of that name.
  const std::string& session_of(const std::string& local) const;
};

// InvalidArgument naming the option for values that cannot be read, and for options that were
// removed; Unimplemented when the daemon is too old.
Result<Request> read_request(const BuildOptions& options);

// Attestations asked for ("attest:sbom", "build-arg:BUILDKIT_ATTEST_SBOM"): type → attributes.
using Attests = std::map<std::string, std::map<std::string, std::string>>;
Result<Attests> read_attests(const std::map<std::string, std::string>& opts);

}  // namespace kiln::frontend::dockerfile
