// What the daemon was told to be: buildkitd.toml, then the command line over it (daemon/flags.h),
// then defaults for what neither says. The only place that reads configuration; rooms are handed
// their own options structs by daemon wiring.
//
//   KILN_ASSIGN_OR_RETURN(Config config, load_config("/etc/buildkit/buildkitd.toml"));
//   apply_defaults(config, environment);
//
// Format: BuildKit's docs/buildkitd.toml.md. Unknown keys are ignored; wrong types are errors that
// name the line. A file that does not exist is an empty one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "registry/client.h"
#include "store/gc.h"

namespace kiln::daemon {

struct TlsConfig {
  std::string cert;  // PEM files
  std::string key;
  std::string ca;  // clients must show a certificate of it
};

struct GcRule {
  bool all = false;
  std::vector<std::string> filters;
  Duration keep_duration{};
  store::SpaceLimit reserved;
  store::SpaceLimit max_used;
  store::SpaceLimit min_free;
};

struct NetworkConfig {
  std::string mode = "auto";  // "auto", "bridge", "cni", "host", "none"
  std::string cni_config_path = "/etc/buildkit/cni.json";
  std::string cni_binary_dir = "/opt/cni/bin";
  int cni_pool_size = 0;
  std::string bridge_name;
  std::string bridge_subnet;
};

// [worker.oci]
struct WorkerConfig {
  std::optional<bool> enabled;  // unset = auto
  std::map<std::string, std::string> labels;
  std::vector<std::string> platforms;  // empty: what the machine runs
  std::string snapshotter = "auto";
  bool rootless = false;
  bool no_process_sandbox = false;
  bool gc = true;
  store::GcLimits gc_limits;
  std::vector<GcRule> gc_policy;  // empty: the default policy with gc_limits
  NetworkConfig network;
  std::string binary;  // name or path of the OCI runtime; "" = found
  std::string proxy_snapshotter_path;
  std::string default_cgroup_parent;
  std::string apparmor_profile;
  bool selinux = false;
  int max_parallelism = 0;             // 0 = unlimited
  store::SpaceLimit layer_max{0, 50};  // that one layer or archive may unpack to; percents of the disk
};

struct DnsConfig {
  std::vector<std::string> nameservers;
  std::vector<std::string> options;
  std::vector<std::string> search_domains;
};

struct Config {
  std::string log_level = "info";
  std::string log_format = "text";
  std::string root;
  std::vector<std::string> entitlements;
  bool proxy_network = false;
  std::string provenance_env_dir = "/etc/buildkit/provenance.d";

  std::vector<std::string> addresses;
  std::string debug_address;
  std::optional<int> socket_uid;
  std::optional<int> socket_gid;
  TlsConfig tls;
  std::string otel_socket_path;

  bool cdi_disabled = false;
  std::vector<std::string> cdi_spec_dirs = {"/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"};
  std::vector<std::string> cdi_auto_allowed;

  WorkerConfig worker;
  bool gha_signed = false;         // [cache.gha.verify] required, or a [cache.gha.sign] command
  bool containerd_worker = false;  // asked for explicitly
  std::map<std::string, registry::HostConfig> registries;
  DnsConfig dns;
  Duration history_age_max = std::chrono::hours(48);
  int history_entries_max = 50;
  bool dockerfile_frontend = true;
  bool gateway_frontend = true;
  std::vector<std::string> gateway_repositories;  // empty: all
  std::optional<Duration> platforms_age_max;
  int registry_concurrency = 4;

  // Ours: leave after this long without clients and builds; zero = never.
  Duration idle_exit{};
  std::vector<std::string> warnings;  // said once the log is set up
};

// InvalidArgument with the place for bad TOML or types; a missing file gives the empty Config.
Result<Config> load_config(const std::string& path);
Result<Config> parse_config(std::string_view text, const std::string& name);

// "30" (seconds), "48h". InvalidArgument otherwise.
Result<Duration> parse_config_duration(std::string_view text);

// Where things are unless said otherwise: root's places, or XDG places inside a user namespace.
struct Places {
  std::string config;
  std::string root;
  std::string address;
  std::string otel_socket;
};
Places default_places();
// Whether this process runs in a user namespace of its own (rootless).
bool in_user_namespace();

}  // namespace kiln::daemon
