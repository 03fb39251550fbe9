#include "daemon/config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "base/text.h"
#include "daemon/internal/toml_reader.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

void read_gc_rule(const TomlReader& in, WorkerConfig& worker) {
  GcRule rule;
  in.read("all", rule.all);
  in.read("filters", rule.filters);
  in.read("keepDuration", rule.keep_duration);
  in.read("keepBytes", rule.reserved);
  store::SpaceLimit newer;  // an empty one leaves the older name's
  in.read("reservedSpace", newer);
  if (!newer.empty()) rule.reserved = newer;
  in.read("maxUsedSpace", rule.max_used);
  in.read("minFreeSpace", rule.min_free);
  worker.gc_policy.push_back(std::move(rule));
}

void read_worker(const TomlReader& in, WorkerConfig& worker) {
  in.read("enabled", worker.enabled);
  in.read("labels", worker.labels);
  in.read("platforms", worker.platforms);
  in.read("snapshotter", worker.snapshotter);
  in.read("rootless", worker.rootless);
  in.read("noProcessSandbox", worker.no_process_sandbox);
  in.read("gc", worker.gc);
  store::GcLimits& limits = worker.gc_limits;
  in.read("reservedSpace", limits.reserved);
  in.read("maxUsedSpace", limits.max_used);
  in.read("minFreeSpace", limits.min_free);
  // The older name counts only where none of the newer ones does.
  store::SpaceLimit older;
  in.read("gckeepstorage", older);
  if (limits.reserved.empty() && limits.max_used.empty() && limits.min_free.empty()) limits.reserved = older;
  in.each_table_of_list("gcpolicy", [&](const TomlReader& rule) { read_gc_rule(rule, worker); });
  in.read("networkMode", worker.network.mode);
  in.read("cniConfigPath", worker.network.cni_config_path);
  in.read("cniBinaryPath", worker.network.cni_binary_dir);
  in.read("cniPoolSize", worker.network.cni_pool_size);
  in.read("bridgeName", worker.network.bridge_name);
  in.read("bridgeSubnet", worker.network.bridge_subnet);
  in.read("binary", worker.binary);
  in.read("proxySnapshotterPath", worker.proxy_snapshotter_path);
  in.read("defaultCgroupParent", worker.default_cgroup_parent);
  in.read("apparmor-profile", worker.apparmor_profile);
  in.read("selinux", worker.selinux);
  in.read("max-parallelism", worker.max_parallelism);
  in.read("maxLayerSize", worker.layer_max);
  in.know("userRemapUnsupported");
  in.ignore("stargzSnapshotter");
}

void read_registry(const TomlReader& in, registry::HostConfig& host) {
  in.read("mirrors", host.mirrors);
  in.read("http", host.plain_http);
  in.read("insecure", host.insecure);
  in.read("ca", host.ca);
  in.read("tlsconfigdir", host.tls_config_dirs);
  in.each_table_of_list("keypair", [&](const TomlReader& pair) {
    registry::KeyPair keys;
    pair.read("key", keys.key);
    pair.read("cert", keys.cert);
    host.keypairs.push_back(std::move(keys));
  });
}

void read_top(const TomlReader& in, Config& config) {
  bool debug = false, trace = false;
  in.read("debug", debug);
  in.read("trace", trace);
  if (debug || trace) {
    config.log_level = trace ? "trace" : "debug";
    config.warnings.push_back(
        fmt::format("'{0}' in the configuration is deprecated, use 'level = \"{0}\"' under [log]", config.log_level));
  }
  in.read("root", config.root);
  in.read("insecure-entitlements", config.entitlements);
  in.read("proxyNetwork", config.proxy_network);
  in.read("provenanceEnvDir", config.provenance_env_dir);
  in.table("log").read("format", config.log_format);
  in.table("log").read("level", config.log_level);
  const TomlReader grpc = in.table("grpc");
  grpc.read("address", config.addresses);
  grpc.read("debugAddress", config.debug_address);
  grpc.read("uid", config.socket_uid);
  grpc.read("gid", config.socket_gid);
  grpc.know("securityDescriptor");
  grpc.table("tls").read("cert", config.tls.cert);
  grpc.table("tls").read("key", config.tls.key);
  grpc.table("tls").read("ca", config.tls.ca);
  in.table("otel").read("socketPath", config.otel_socket_path);
  in.table("cdi").read("disabled", config.cdi_disabled);
  in.table("cdi").read("specDirs", config.cdi_spec_dirs);
  in.table("cdi").read("autoAllowed", config.cdi_auto_allowed);
}

void read_rest(const TomlReader& in, Config& config) {
  read_worker(in.table("worker").table("oci"), config.worker);
  in.table("worker").table("containerd").read("enabled", config.containerd_worker);
  in.table("worker").ignore("containerd");
  std::vector<std::string> sign;
  in.table("cache").table("gha").table("sign").read("command", sign);
  in.table("cache").table("gha").table("verify").read("required", config.gha_signed);
  config.gha_signed |= !sign.empty();
  in.table("cache").ignore("gha");
  in.each_table("registry",
                [&](const std::string& name, const TomlReader& host) { read_registry(host, config.registries[name]); });
  in.table("dns").read("nameservers", config.dns.nameservers);
  in.table("dns").read("options", config.dns.options);
  in.table("dns").read("searchDomains", config.dns.search_domains);
  // A [history] table replaces both limits, also by leaving one out.
  if (in.has("history")) {
    config.history_age_max = Duration::zero();
    config.history_entries_max = 0;
  }
  in.table("history").read("maxAge", config.history_age_max);
  in.table("history").read("maxEntries", config.history_entries_max);
  in.table("frontend").table("dockerfile.v0").read("enabled", config.dockerfile_frontend);
  in.table("frontend").table("gateway.v0").read("enabled", config.gateway_frontend);
  in.table("frontend").table("gateway.v0").read("allowedRepositories", config.gateway_repositories);
  if (Duration age{}; in.table("system").has("platformsCacheMaxAge")) {
    in.table("system").read("platformsCacheMaxAge", age);
    config.platforms_age_max = age;
  }
  in.table("system").read("maxRegistryConcurrency", config.registry_concurrency);
}

std::string first_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? std::string(split_once(value, ':').first) : std::string();
}

}  // namespace

Result<Duration> parse_config_duration(std::string_view text) {
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size()) return std::chrono::seconds(seconds);
  return parse_duration(text);
}

Result<Config> parse_config(std::string_view text, const std::string& name) {
  Config config;
  TomlReader::Notes notes;
  Status& status = notes.wrong;
  try {
    const toml::table root = toml::parse(text, name);
    const TomlReader reader(&root, "", notes);
    read_top(reader, config);
    read_rest(reader, config);
    for (std::string& sentence : reader.unknown_keys()) config.warnings.push_back(std::move(sentence));
  } catch (const toml::parse_error& error) {
    status =
        user_error(Code::kInvalidArgument, fmt::format("line {}: {}", error.source().begin.line, error.description()));
  }
  if (status.ok() && config.registry_concurrency <= 0) {
    status = user_error(Code::kInvalidArgument, "'system.maxRegistryConcurrency' must be greater than zero");
  }
  if (!status.ok()) return annotate(status, fmt::format("configuration '{}'", name));
  return config;
}

Result<Config> load_config(const std::string& path) {
  auto text = host::read_file(path);
  if (!text.ok() && is_not_found(text.status())) return Config{};
  if (!text.ok()) return annotate(text.status(), "read the configuration");
  return parse_config(*text, path);
}

bool in_user_namespace() {
  auto map = host::read_file("/proc/self/uid_map");
  if (!map.ok()) return false;
  const auto fields = words(*map);
  return !(fields.size() == 3 && fields[0] == "0" && fields[1] == "0" && fields[2] == "4294967295");
}

Places default_places() {
  Places places{"/etc/buildkit/buildkitd.toml", "/var/lib/buildkit", "unix:///run/buildkit/buildkitd.sock",
                "/run/buildkit/otel-grpc.sock"};
  if (!in_user_namespace()) return places;
  const std::string home = first_of("HOME");
  if (std::string dir = first_of("XDG_CONFIG_HOME"); !dir.empty()) {
    places.config = dir + "/buildkit/buildkitd.toml";
  } else if (!home.empty()) {
    places.config = home + "/.config/buildkit/buildkitd.toml";
  }
  if (std::string dir = first_of("XDG_DATA_HOME"); !dir.empty()) {
    places.root = dir + "/buildkit";
  } else if (!home.empty()) {
    places.root = home + "/.local/share/buildkit";
  }
  if (std::string dir = first_of("XDG_RUNTIME_DIR"); !dir.empty()) {
    places.address = "unix://" + dir + "/buildkit/buildkitd.sock";
    places.otel_socket = dir + "/buildkit/otel-grpc.sock";
  }
  return places;
}

}  // namespace kiln::daemon
