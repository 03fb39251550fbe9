// A command run on a tree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "graph/build/state.h"

namespace kiln::graph::build {

struct MountSpec {
  std::string target;
  State source;          // the empty tree is allowed
  std::string selector;  // path inside the source
  bool readonly = false;
  bool no_output = false;  // writes are thrown away
  std::optional<CacheOpt> cache;
  std::optional<std::int64_t> tmpfs_bytes;  // present: tmpfs; 0 = no limit
  ContentCache content_cache = ContentCache::kDefault;
};

struct SecretSpec {
  std::string id;
  std::optional<std::string> target;  // absent: no file
  std::optional<std::string> env;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0400;
  bool optional = false;
};

struct SshSpec {
  std::string id;
  std::string target;  // "" = /run/buildkit/ssh_agent.N
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0600;
  bool optional = false;
};

struct RunSpec {
  std::vector<std::string> args;
  std::vector<MountSpec> mounts;
  std::vector<SecretSpec> secrets;
  std::vector<SshSpec> ssh;
  std::vector<CdiDevice> devices;
  bool readonly_root = false;
  std::optional<ProxyEnv> proxy;
  // The settings to run under when they differ from the base's; the result keeps the base's.
  std::optional<Settings> settings;
};

// The root after the command has run.
State run(const State& base, const RunSpec& spec, const Constraints& constraints = {});
// What the command left in the mount at `target`; the root for "/".
struct RunResult {
  State root;
  std::vector<std::pair<std::string, State>> mounts;  // writable ones
};
RunResult run_with_mounts(const State& base, const RunSpec& spec, const Constraints& constraints = {});

}  // namespace kiln::graph::build
