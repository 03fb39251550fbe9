#include "frontend/dockerfile/request.h"

#include <fmt/format.h>

#include "base/reference.h"
#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/request_values.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr const char* kDefaultSbomGenerator = "docker/buildkit-syft-scanner:stable-1";

using Opts = std::map<std::string, std::string>;

Status invalid(std::string_view text) { return user_error(Code::kInvalidArgument, text); }

Opts with_prefix(const Opts& opts, std::string_view prefix) {
  Opts out;
  for (auto it = opts.lower_bound(std::string(prefix)); it != opts.end() && it->first.starts_with(prefix); ++it) {
    out.emplace(it->first.substr(prefix.size()), it->second);
  }
  return out;
}

// Options that older clients sent must fail rather than be passed over.
Status check_removed(const Request& request, const BuildOptions& options) {
  if (auto status = options.llb_caps.check(graph::kCapFileBase); !status.ok()) {
    return annotate(status, "needs BuildKit 0.5 or later");
  }
  if (!request.opt("override-copy-image").empty()) {
    return invalid("support for \"override-copy-image\" was removed in BuildKit 0.11");
  }
  if (parse_bool(request.opt("build-arg:BUILDKIT_DISABLE_FILEOP")).value_or(false)) {
    return invalid("support for \"BUILDKIT_DISABLE_FILEOP\" build-arg was removed in BuildKit 0.11");
  }
  return ok();
}

Status read_platform_options(Request& request, const BuildOptions& options) {
  if (!options.workers.empty() && !options.workers.front().platforms.empty()) {
    request.build_platforms = {options.workers.front().platforms.front()};
  } else {
    request.build_platforms = {Platform::host().normalized()};
  }
  if (!request.opt("platform").empty()) {
    KILN_ASSIGN_OR_RETURN(request.target_platforms, read_platforms(request.opt("platform")));
  }
  request.multi_platform = request.target_platforms.size() > 1;
  if (const auto& arg = request.opt("build-arg:BUILDKIT_MULTI_PLATFORM"); !arg.empty()) {
    request.opts["multi-platform"] = arg;
  }
  const std::string& wanted = request.opt("multi-platform");
  if (wanted.empty()) return ok();
  auto value = parse_bool(wanted);
  if (!value) return invalid("invalid boolean value for multi-platform: " + wanted);
  if (!*value && request.multi_platform) {
    return invalid("conflicting config: returning multiple target platforms is not allowed");
  }
  request.multi_platform = *value;
  return ok();
}

Status read_run_options(Request& request) {
  auto hosts = read_hosts(request.opt("add-hosts"));
  if (!hosts.ok()) return annotate(hosts.status(), "failed to parse additional hosts");
  request.extra_hosts = *std::move(hosts);
  if (const auto& shm = request.opt("shm-size"); !shm.empty()) {
    auto bytes = parse_integer(shm);
    if (!bytes) return invalid(fmt::format("failed to parse shm size: parsing {}: invalid syntax", quote(shm)));
    request.shm_bytes = *bytes;
  }
  auto ulimits = read_ulimits(request.opt("ulimit"));
  if (!ulimits.ok()) return annotate(ulimits.status(), "failed to parse ulimit");
  request.ulimits = *std::move(ulimits);
  auto resources = read_resources(request.opts);
  if (!resources.ok()) return annotate(resources.status(), "failed to parse resource limits");
  request.resources = *std::move(resources);
  KILN_ASSIGN_OR_RETURN(request.network, read_network(request.opt("force-network-mode")));
  request.cgroup_parent = request.opt("cgroup-parent");
  request.cache_namespace = request.opt("build-arg:BUILDKIT_CACHE_MOUNT_NS");
  if (const auto& name = request.opt("build-arg:BUILDKIT_SANDBOX_HOSTNAME"); !name.empty())
    request.opts["hostname"] = name;
  request.hostname = request.opt("hostname");
  return ok();
}

Status read_sbom(Request& request) {
  KILN_ASSIGN_OR_RETURN(Attests attests, read_attests(request.opts));
  auto it = attests.find("sbom");
  if (it == attests.end()) return ok();
  SbomRequest sbom;
  for (const auto& [key, value] : it->second) {
    if (key != "generator") {
      sbom.parameters[key] = value;
      continue;
    }
    auto ref = Reference::parse(value);
    if (!ref.ok()) return annotate(ref.status(), "failed to parse sbom scanner " + value);
    sbom.generator = ref->with_default_tag().str();
  }
  if (sbom.generator.empty()) return invalid("sbom scanner cannot be empty");
  request.sbom = std::move(sbom);
  return ok();
}

}  // namespace

const std::string& Request::opt(const std::string& name) const {
  static const std::string kNone;
  auto it = opts.find(name);
  return it == opts.end() ? kNone : it->second;
}

bool Request::ignores_cache(std::string_view stage) const {
  if (!no_cache) return false;
  if (no_cache->empty()) return true;
  for (const auto& name : *no_cache) {
    if (equals_ignore_case(name, stage)) return true;
  }
  return false;
}

const std::string& Request::session_of(const std::string& local) const {
  auto it = local_sessions.find(local);
  return it == local_sessions.end() ? session_id : it->second;
}

Result<Request> read_request(const BuildOptions& options) {
  Request request;
  request.opts = options.opts;
  request.session_id = options.session_id;
  KILN_RETURN_IF_ERROR(check_removed(request, options));
  KILN_RETURN_IF_ERROR(read_platform_options(request, options));
  KILN_ASSIGN_OR_RETURN(request.resolve_mode, read_resolve_mode(request.opt("image-resolve-mode")));
  KILN_RETURN_IF_ERROR(read_run_options(request));
  if (request.has("no-cache")) {
    request.no_cache.emplace();
    for (std::string_view name : split(request.opt("no-cache"), ',')) {
      if (!name.empty()) request.no_cache->emplace_back(name);
    }
  }
  KILN_ASSIGN_OR_RETURN(request.cache_imports,
                        read_cache_imports(request.opt("cache-imports"), request.opt("cache-from")));
  KILN_RETURN_IF_ERROR(read_sbom(request));
  request.build_args = with_prefix(request.opts, "build-arg:");
  request.labels = with_prefix(request.opts, "label:");
  request.local_sessions = with_prefix(request.opts, "local-sessionid:");
  request.target = request.opt("target");
  if (request.has("build-arg:BUILDKIT_DOCKERFILE_CHECK")) {
    request.lint_arg = request.opt("build-arg:BUILDKIT_DOCKERFILE_CHECK");
    auto lint = parse_lint_options(*request.lint_arg);
    if (!lint.ok()) return annotate(lint.status(), "failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK");
  }
  return request;
}

Result<Attests> read_attests(const Opts& opts) {
  Opts texts;
  for (const char* prefix : {"attest:", "build-arg:BUILDKIT_ATTEST_"}) {
    for (const auto& [name, value] : with_prefix(opts, prefix)) texts[to_lower(name)] = value;
  }
  Attests out;
  for (const auto& [type, text] : texts) {
    if (type != "sbom" && type != "provenance") return invalid(fmt::format("unknown attestation type {}", quote(type)));
    auto& attrs = out[type];
    if (type == "sbom") attrs["generator"] = kDefaultSbomGenerator;
    if (text.empty()) continue;
    auto fields = parse_csv(text);
    if (!fields.ok()) return annotate(fields.status(), "failed to parse " + type);
    for (const auto& field : *fields) {
      auto [key, value] = split_once(field, '=');
      attrs[std::string(key)] = std::string(value);
    }
  }
  return out;
}

}  // namespace kiln::frontend::dockerfile
