#include "daemon/flags.h"

#include <fmt/format.h>
#include <grp.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/platform.h"
#include "base/reference.h"
#include "base/text.h"
#include "base/value.h"
#include "base/version.h"
#include "store/gc.h"

namespace kiln::daemon {
namespace {

using Apply = std::function<Status(Config&, const std::string&)>;

enum class Kind { kText, kSwitch };

struct Flag {
  const char* name;
  Kind kind;
  const char* help;
  Apply apply;
};

Status bad_value(std::string_view value, std::string_view wanted) {
  return user_error(Code::kInvalidArgument, fmt::format("'{}' is not {}", value, wanted));
}

Result<bool> parse_bool(const std::string& text) {
  const std::string low = to_lower(text);
  if (low == "true" || low == "1" || low == "t") return true;
  if (low == "false" || low == "0" || low == "f") return false;
  return bad_value(text, "true or false");
}

Apply text(std::function<std::string&(Config&)> member) {
  return [member](Config& c, const std::string& v) {
    member(c) = v;
    return ok();
  };
}

Apply boolean(std::function<bool&(Config&)> member) {
  return [member](Config& c, const std::string& v) -> Status {
    KILN_ASSIGN_OR_RETURN(member(c), parse_bool(v));
    return ok();
  };
}

Apply number(std::function<int&(Config&)> member) {
  return [member](Config& c, const std::string& v) -> Status {
    int value = 0;
    const auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), value);
    if (error != std::errc() || end != v.data() + v.size()) return bad_value(v, "a number");
    member(c) = value;
    return ok();
  };
}

// The flag is understood; its feature is not here. A value that means "without" is fine.
Apply missing(std::string feature, std::vector<std::string> fine = {}) {
  return [feature, fine](Config&, const std::string& v) -> Status {
    for (const std::string& value : fine) {
      if (v == value) return ok();
    }
    return user_error(Code::kUnimplemented,
                      fmt::format("{} not supported by this daemon; leave the flag out", feature));
  };
}

Apply ignored() {
  return [](Config&, const std::string&) { return ok(); };
}

Status set_group(Config& config, const std::string& group) {
  int gid = 0;
  const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), gid);
  if (error == std::errc() && end == group.data() + group.size()) {
    config.socket_gid = gid;
    return ok();
  }
  if (group.empty()) {
    config.socket_gid = static_cast<int>(getgid());
    return ok();
  }
  char buffer[16384];
  struct group entry {};
  struct group* found = nullptr;
  if (getgrnam_r(group.c_str(), &entry, buffer, sizeof buffer, &found) != 0 || found == nullptr) {
    return user_error(Code::kInvalidArgument, fmt::format("there is no group '{}'", group));
  }
  config.socket_gid = static_cast<int>(found->gr_gid);
  return ok();
}

Status add_entitlement(Config& config, const std::string& name) {
  if (name != "security.insecure" && name != "network.host" && name != "device") {
    return user_error(Code::kInvalidArgument, fmt::format("invalid entitlement : {}", name));
  }
  config.entitlements.push_back(name);
  return ok();
}

Status add_label(Config& config, const std::string& label) {
  const auto [key, value] = split_once(label, '=');
  if (label.find('=') == std::string::npos)
    return user_error(Code::kInvalidArgument, fmt::format("invalid value {}", label));
  config.worker.labels[std::string(key)] = std::string(value);
  return ok();
}

// "Reserved[,Free[,Maximum]]"; numbers are megabytes.
Status set_gc_limits(Config& config, const std::string& value) {
  store::SpaceLimit* limits[] = {&config.worker.gc_limits.reserved, &config.worker.gc_limits.min_free,
                                 &config.worker.gc_limits.max_used};
  const auto parts = split(value, ',');
  if (parts.size() > 3) return bad_value(value, "of the form Reserved[,Free[,Maximum]]");
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::string part(trim(parts[i]));
    if (part.empty()) continue;
    if (auto megabytes = parse_integer(part)) {
      *limits[i] = {*megabytes * 1'000'000, 0};
    } else {
      KILN_ASSIGN_OR_RETURN(*limits[i], store::parse_space_limit(part));
    }
  }
  return ok();
}

// Why a step was not found in the cache is kept with each build's record, always.
Status note_cache_debug(Config& config, const std::string& value) {
  KILN_ASSIGN_OR_RETURN(bool on, parse_bool(value));
  if (on)
    config.warnings.emplace_back(
        "--save-cache-debug has no effect: what keys are made of is kept with every build; ask 'kiln why'");
  return ok();
}

// Names are checked at the start, where somebody reads what is wrong with them.
Status check_names(const Config& config) {
  for (const std::string& platform : config.worker.platforms) {
    if (auto parsed = Platform::parse(platform); !parsed.ok()) return annotate(parsed.status(), "invalid platforms");
  }
  for (const std::string& repository : config.gateway_repositories) {
    if (auto parsed = Reference::parse(repository); !parsed.ok())
      return annotate(parsed.status(), "allowedRepositories");
  }
  return ok();
}

Status set_worker_enabled(Config& config, const std::string& value) {
  if (value.empty() || to_lower(value) == "auto") {
    config.worker.enabled.reset();
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(bool enabled, parse_bool(value));
  config.worker.enabled = enabled;
  return ok();
}

std::vector<Flag> general_flags() {
  return {
      {"config", Kind::kText, "path of the configuration file", ignored()},
      {"debug", Kind::kSwitch, "log debug lines",
       [](Config& c, const std::string& v) -> Status {
         KILN_ASSIGN_OR_RETURN(bool on, parse_bool(v));
         if (on) c.log_level = "debug";
         return ok();
       }},
      {"trace", Kind::kSwitch, "",
       [](Config& c, const std::string& v) -> Status {
         KILN_ASSIGN_OR_RETURN(bool on, parse_bool(v));
         if (on) c.log_level = "trace";
         return ok();
       }},
      {"log-level", Kind::kText, "trace, debug, info, warn or error [BUILDKITD_LOG_LEVEL]",
       text([](Config& c) -> std::string& { return c.log_level; })},
      {"log-format", Kind::kText, "json or text", text([](Config& c) -> std::string& { return c.log_format; })},
      {"root", Kind::kText, "directory of the daemon's state", text([](Config& c) -> std::string& { return c.root; })},
      {"addr", Kind::kText, "address to listen on: unix://, tcp://, fd://; may be given several times",
       [](Config& c, const std::string& v) {
         c.addresses.push_back(v);
         return ok();
       }},
      {"group", Kind::kText, "group (name or id) that owns unix sockets", set_group},
      {"debugaddr", Kind::kText, "address of the debug and metrics pages, such as 127.0.0.1:6060 [BUILDKITD_DEBUGADDR]",
       text([](Config& c) -> std::string& { return c.debug_address; })},
      {"tlscert", Kind::kText, "certificate (PEM) for tcp://",
       text([](Config& c) -> std::string& { return c.tls.cert; })},
      {"tlskey", Kind::kText, "its key", text([](Config& c) -> std::string& { return c.tls.key; })},
      {"tlscacert", Kind::kText, "authority that clients' certificates must come from",
       text([](Config& c) -> std::string& { return c.tls.ca; })},
      {"allow-insecure-entitlement", Kind::kText,
       "network.host, security.insecure or device; may be given several times", add_entitlement},
      {"otel-socket-path", Kind::kText, "socket on which steps hand over traces",
       text([](Config& c) -> std::string& { return c.otel_socket_path; })},
      {"cdi-disabled", Kind::kSwitch, "no container devices",
       boolean([](Config& c) -> bool& { return c.cdi_disabled; })},
      {"cdi-spec-dir", Kind::kText, "directory with specifications of container devices",
       [](Config& c, const std::string& v) {
         c.cdi_spec_dirs.push_back(v);
         return ok();
       }},
      {"proxy-network", Kind::kSwitch, "steps of all builds reach the network through the daemon's proxy alone",
       boolean([](Config& c) -> bool& { return c.proxy_network; })},
      {"save-cache-debug", Kind::kSwitch, "", note_cache_debug},
      {"rootless", Kind::kSwitch, "defaults for a user namespace",
       boolean([](Config& c) -> bool& { return c.worker.rootless; })},
      {"idle-exit", Kind::kText, "leave after this long without clients, such as 10m",
       [](Config& c, const std::string& v) -> Status {
         KILN_ASSIGN_OR_RETURN(c.idle_exit, parse_config_duration(v));
         return ok();
       }},
  };
}

std::vector<Flag> worker_flags() {
  return {
      {"oci-worker", Kind::kText, "run steps: true, false or auto", set_worker_enabled},
      {"oci-worker-labels", Kind::kText, "label of the worker, key=value; may be given several times", add_label},
      {"oci-worker-snapshotter", Kind::kText, "auto, overlayfs or native",
       text([](Config& c) -> std::string& { return c.worker.snapshotter; })},
      {"oci-worker-proxy-snapshotter-path", Kind::kText, "", missing("snapshotters behind a socket are", {""})},
      {"oci-worker-platform", Kind::kText, "platform that steps may run; may be given several times",
       [](Config& c, const std::string& v) {
         c.worker.platforms.push_back(v);
         return ok();
       }},
      {"oci-worker-net", Kind::kText, "network of steps: auto, bridge, cni or host",
       text([](Config& c) -> std::string& { return c.worker.network.mode; })},
      {"oci-cni-config-path", Kind::kText, "CNI configuration file",
       text([](Config& c) -> std::string& { return c.worker.network.cni_config_path; })},
      {"oci-cni-binary-dir", Kind::kText, "directory of CNI plugins",
       text([](Config& c) -> std::string& { return c.worker.network.cni_binary_dir; })},
      {"oci-cni-pool-size", Kind::kText, "network namespaces made in advance",
       number([](Config& c) -> int& { return c.worker.network.cni_pool_size; })},
      {"oci-worker-binary", Kind::kText, "OCI runtime: name or path",
       text([](Config& c) -> std::string& { return c.worker.binary; })},
      {"oci-worker-apparmor-profile", Kind::kText,
       "AppArmor profile of steps; it must be loaded, and steps be run by crun or runc",
       text([](Config& c) -> std::string& { return c.worker.apparmor_profile; })},
      {"oci-worker-selinux", Kind::kSwitch, "", missing("SELinux labels for steps are", {"false"})},
      {"oci-worker-rootless", Kind::kSwitch, "run in a user namespace",
       boolean([](Config& c) -> bool& { return c.worker.rootless; })},
      {"oci-worker-no-process-sandbox", Kind::kSwitch, "steps see the processes of the host's namespace",
       boolean([](Config& c) -> bool& { return c.worker.no_process_sandbox; })},
      {"oci-worker-gc", Kind::kSwitch, "collect garbage by itself (default true)",
       boolean([](Config& c) -> bool& { return c.worker.gc; })},
      {"oci-worker-gc-keepstorage", Kind::kText, "what collection leaves: Reserved[,Free[,Maximum]], in MB",
       set_gc_limits},
      {"oci-max-parallelism", Kind::kText, "steps that run at once, 0 = unlimited",
       number([](Config& c) -> int& { return c.worker.max_parallelism; })},
      {"containerd-worker", Kind::kText, "", missing("the containerd worker is", {"false", "auto"})},
  };
}

// Understood and without effect: they configure what is not here, or a system that is not this one.
std::vector<Flag> foreign_flags() {
  std::vector<Flag> flags;
  for (const char* name : {"containerd-worker-addr", "containerd-worker-labels", "containerd-worker-platform",
                           "containerd-worker-namespace", "containerd-worker-runtime", "containerd-worker-net",
                           "containerd-worker-snapshotter", "containerd-worker-apparmor-profile",
                           "containerd-worker-gc-keepstorage", "containerd-cni-config-path",
                           "containerd-cni-binary-dir", "containerd-cni-pool-size", "containerd-max-parallelism"}) {
    flags.push_back({name, Kind::kText, "", ignored()});
  }
  for (const char* name : {"containerd-worker-rootless", "containerd-worker-selinux", "containerd-worker-gc"}) {
    flags.push_back({name, Kind::kSwitch, "", ignored()});
  }
  flags.push_back({"service-name", Kind::kText, "", ignored()});
  flags.push_back({"log-file", Kind::kText, "", missing("a log file (use the service's standard error) is")});
  for (const char* name : {"register-service", "unregister-service", "run-service"}) {
    flags.push_back({name, Kind::kSwitch, "", missing("a Windows service is", {"false"})});
  }
  return flags;
}

std::vector<Flag> all_flags() {
  std::vector<Flag> flags = general_flags();
  for (auto more : {worker_flags(), foreign_flags()}) flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

struct Given {
  const Flag* flag;
  std::string value;
};

Result<std::vector<Given>> match_flags(const std::vector<Flag>& flags, const std::vector<std::string>& arguments,
                                       Action& action) {
  std::vector<Given> given;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (!argument.starts_with('-')) {
      return user_error(Code::kInvalidArgument,
                        fmt::format("'{}' is no flag; this program takes only flags", argument));
    }
    argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
    const bool with_value = argument.find('=') != std::string_view::npos;
    auto [name, value] = split_once(argument, '=');
    if (name == "help" || name == "h" || name == "version" || name == "v") {
      action = name.starts_with('h') ? Action::kHelp : Action::kVersion;
      return given;
    }
    const auto flag = std::find_if(flags.begin(), flags.end(), [&](const Flag& f) { return name == f.name; });
    if (flag == flags.end()) {
      const Flag* nearest = nullptr;
      for (const Flag& f : flags) {
        if (nearest == nullptr || edit_distance(name, f.name) < edit_distance(name, nearest->name)) nearest = &f;
      }
      return user_error(Code::kInvalidArgument,
                        edit_distance(name, nearest->name) <= 3
                            ? fmt::format("unknown flag '--{}', did you mean '--{}'?", name, nearest->name)
                            : fmt::format("unknown flag '--{}'; see --help", name));
    }
    std::string text(value);
    if (!with_value && flag->kind == Kind::kSwitch) {
      text = "true";
    } else if (!with_value) {
      if (++i >= arguments.size()) return user_error(Code::kInvalidArgument, fmt::format("'--{}' needs a value", name));
      text = arguments[i];
    }
    given.push_back({&*flag, std::move(text)});
  }
  return given;
}

// Lists given on the command line replace those of the file.
void clear_replaced_lists(const std::vector<Given>& given, Config& config) {
  for (const Given& one : given) {
    const std::string_view name = one.flag->name;
    if (name == "addr") config.addresses.clear();
    if (name == "allow-insecure-entitlement") config.entitlements.clear();
    if (name == "cdi-spec-dir") config.cdi_spec_dirs.clear();
    if (name == "oci-worker-platform") config.worker.platforms.clear();
  }
}

// What the configuration asks for and is not here: said at start, never silently left out.
Status refuse_missing(const Config& config) {
  const auto missing = [](std::string_view what, std::string_view key) {
    return user_error(Code::kUnimplemented,
                      fmt::format("{} not supported by this daemon; remove '{}' from the configuration", what, key));
  };
  if (config.containerd_worker) return missing("the containerd worker is", "enabled = true' of '[worker.containerd]");
  if (!config.worker.proxy_snapshotter_path.empty())
    return missing("snapshotters behind a socket are", "proxySnapshotterPath");
  // Taking unsigned caches where signed ones are demanded would be worse than not starting.
  if (config.gha_signed)
    return missing("signed indexes of GitHub's cache are", "[cache.gha.sign] and [cache.gha.verify]");
  if (config.worker.selinux) return missing("SELinux labels for steps are", "selinux");
  return ok();
}

Status complete(Config& config, const Places& places) {
  if (config.root.empty()) config.root = places.root;
  config.root = std::filesystem::absolute(config.root).lexically_normal().string();  // steps run elsewhere
  if (config.addresses.empty()) config.addresses = {places.address};
  if (config.otel_socket_path.empty()) config.otel_socket_path = places.otel_socket;
  if (config.worker.snapshotter.empty()) config.worker.snapshotter = "auto";
  KILN_RETURN_IF_ERROR(refuse_missing(config));
  KILN_RETURN_IF_ERROR(check_names(config));
  if (config.worker.enabled == false)
    return user_error(Code::kInvalidArgument, "no worker found: the OCI worker is disabled");
  if (config.worker.no_process_sandbox && !config.worker.rootless) {
    return user_error(Code::kInvalidArgument, "--oci-worker-no-process-sandbox needs --rootless");
  }
  return ok();
}

}  // namespace

Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments) {
  const std::vector<Flag> flags = all_flags();
  CommandLine line;
  KILN_ASSIGN_OR_RETURN(std::vector<Given> given, match_flags(flags, arguments, line.action));
  if (line.action != Action::kRun) return line;

  const Places places = default_places();
  std::string path = places.config;
  for (const Given& one : given) {
    if (std::string_view(one.flag->name) == "config") path = one.value;
  }
  KILN_ASSIGN_OR_RETURN(line.config, load_config(path));
  if (const char* level = std::getenv("BUILDKITD_LOG_LEVEL")) line.config.log_level = level;
  if (const char* address = std::getenv("BUILDKITD_DEBUGADDR")) line.config.debug_address = address;
  const bool mapped = in_user_namespace();
  if (mapped) line.config.worker.rootless = true;
  clear_replaced_lists(given, line.config);
  for (const Given& one : given) {
    if (Status status = one.flag->apply(line.config, one.value); !status.ok()) {
      return annotate(status, fmt::format("--{}", one.flag->name));
    }
  }
  if (line.config.worker.rootless && !mapped) {
    return user_error(Code::kFailedPrecondition,
                      "rootless mode requires to be executed as the mapped root in a user namespace; RootlessKit sets "
                      "one up");
  }
  KILN_RETURN_IF_ERROR(complete(line.config, places));
  return line;
}

std::string help_text(const std::string& program) {
  std::string out = fmt::format("{0}: the build daemon\n\nUsage: {0} [flags]\n\nFlags:\n", program);
  for (const Flag& flag : all_flags()) {
    if (*flag.help == '\0') continue;
    const std::string left = fmt::format("--{}{}", flag.name, flag.kind == Kind::kText ? " VALUE" : "");
    out += fmt::format("  {:<40} {}\n", left, flag.help);
  }
  out +=
      "  --help                                   print this\n  --version                                print the "
      "version\n";
  return out;
}

std::string version_text(const std::string& program) {
  return fmt::format("{} {} {} {}", program, kPackage, kCompatibleVersion, kRevision);
}

}  // namespace kiln::daemon
