#include "registry/hosts.h"

#include <algorithm>
#include <filesystem>

#include "base/text.h"

namespace kiln::registry {
namespace {

namespace fs = std::filesystem;

// ca.crt, client.cert with client.key: docker's certs.d convention.
Status add_folder(const std::string& folder, Tls& tls) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::permission_denied) return ok();
  if (error) return environment_error(Code::kFailedPrecondition, fmt::format("read '{}': {}", folder, error.message()));
  std::vector<std::string> files;
  for (const auto& entry : entries) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    if (file.ends_with(".crt")) tls.ca_files.push_back(file);
    if (file.ends_with(".cert")) {
      tls.keypairs.push_back({.key = file.substr(0, file.size() - 5) + ".key", .cert = file});
    }
  }
  return ok();
}

}  // namespace

std::string Endpoint::url(std::string_view rest) const {
  std::string out = fmt::format("{}://{}{}/{}", scheme, host, path, rest);
  if (!ns.empty()) out += (rest.find('?') == std::string_view::npos ? "?ns=" : "&ns=") + url_encode(ns);
  return out;
}

Result<Tls> Hosts::tls_for(const HostConfig& config) const {
  Tls tls{.verify = true, .ca_files = config.ca, .keypairs = config.keypairs};
  for (const std::string& folder : config.tls_config_dirs) KILN_RETURN_IF_ERROR(add_folder(folder, tls));
  for (const std::string& file : tls.ca_files) {
    std::error_code error;
    if (!fs::exists(file, error)) {
      return environment_error(Code::kFailedPrecondition, fmt::format("failed to read {}: no such file", file));
    }
  }
  return tls;
}

Result<Endpoint> Hosts::endpoint(const std::string& domain, const std::string& host, bool insecure) {
  auto found = config_.find(domain);
  HostConfig config = found == config_.end() ? HostConfig{} : found->second;
  if (insecure)
    config = {.mirrors = {}, .plain_http = true, .insecure = true, .ca = {}, .keypairs = {}, .tls_config_dirs = {}};
  Endpoint out;
  out.host = host;
  KILN_ASSIGN_OR_RETURN(out.tls, tls_for(config));
  bool plain = config.plain_http.value_or(is_loopback_host(host));
  if (config.insecure.value_or(false)) {
    out.tls.verify = false;
    out.fall_back_to_plain = plain;
  } else if (plain) {
    out.scheme = "http";
  }
  std::lock_guard guard(mutex_);
  if (out.fall_back_to_plain && plain_.contains(host)) out.scheme = "http";
  return out;
}

Result<Endpoint> Hosts::for_push(const Reference& ref, bool insecure) {
  return endpoint(ref.domain, api_host(ref.domain), insecure);
}

Result<std::vector<Endpoint>> Hosts::for_pull(const Reference& ref, bool insecure) {
  std::vector<Endpoint> out;
  auto found = config_.find(ref.domain);
  if (found != config_.end() && !insecure) {
    for (std::string_view mirror : found->second.mirrors) {
      // A mirror may be written as a URL; only its host and path matter, its own entry tells the rest.
      if (auto scheme = mirror.find("://"); scheme != std::string_view::npos) mirror = mirror.substr(scheme + 3);
      auto [host, path] = split_once(mirror, '/');
      KILN_ASSIGN_OR_RETURN(Endpoint at, endpoint(std::string(host), std::string(host), false));
      while (path.ends_with('/')) path.remove_suffix(1);
      if (!path.empty()) at.path = "/v2/" + std::string(path);
      at.mirror = true;
      at.ns = ref.domain;
      out.push_back(std::move(at));
    }
  }
  KILN_ASSIGN_OR_RETURN(Endpoint origin, endpoint(ref.domain, api_host(ref.domain), insecure));
  out.push_back(std::move(origin));
  return out;
}

void Hosts::remember_plain(const std::string& host) {
  std::lock_guard guard(mutex_);
  plain_.insert(host);
}

}  // namespace kiln::registry
