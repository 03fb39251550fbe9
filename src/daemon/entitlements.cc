#include "daemon/entitlements.h"

#include <algorithm>

#include "base/quote.h"
#include "base/text.h"
#include "base/value.h"
#include "sandbox/container_devices.h"

namespace kiln::daemon {
namespace {

constexpr const char* kHostNetwork = "network.host";
constexpr const char* kInsecure = "security.insecure";
constexpr const char* kDevice = "device";

Status not_allowed(const char* name) {
  return user_error(Code::kPermissionDenied, fmt::format("{} is not allowed", name));
}

}  // namespace

Result<Entitlements> Entitlements::parse(const std::vector<std::string>& asked, const std::set<std::string>& allowed) {
  Entitlements out;
  for (const std::string& text : asked) {
    const auto [key, rest] = split_once(text, '=');
    std::string name = key == kDevice ? std::string(key) : text;
    if (name != kHostNetwork && name != kInsecure && name != kDevice) {
      return user_error(Code::kInvalidArgument, fmt::format("unknown entitlement {}", text));
    }
    if (!allowed.contains(name)) {
      return user_error(Code::kPermissionDenied,
                        fmt::format("granting entitlement {} is not allowed by build daemon configuration", name));
    }
    if (name == kDevice) KILN_RETURN_IF_ERROR(out.add_device(rest));
    out.names_.insert(std::move(name));
  }
  return out;
}

Status Entitlements::add_device(std::string_view text) {
  if (text.empty()) {
    all_devices_ = true;
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(const std::vector<std::string> fields, parse_csv(text));
  if (fields.empty()) return user_error(Code::kInvalidArgument, fmt::format("invalid device config {}", quote(text)));
  std::string alias;
  for (std::size_t i = 1; i < fields.size(); ++i) {
    const auto [key, value] = split_once(fields[i], '=');
    if (fields[i].find('=') == std::string::npos) {
      return user_error(Code::kInvalidArgument, fmt::format("invalid device config {}", quote(fields[i])));
    }
    if (key != "alias")
      return user_error(Code::kInvalidArgument, fmt::format("unknown device config key {}", quote(key)));
    alias = value;
  }
  if (alias.empty()) {
    devices_[fields[0]] = "";
  } else {
    devices_[alias] = fields[0];
  }
  return ok();
}

Status Entitlements::check_host_network() const {
  return names_.contains(kHostNetwork) ? ok() : not_allowed(kHostNetwork);
}
Status Entitlements::check_insecure() const { return names_.contains(kInsecure) ? ok() : not_allowed(kInsecure); }

Status Entitlements::check(graph::ExecOp& exec, const sandbox::ContainerDevices* devices) const {
  if (exec.network == graph::NetMode::kHost) KILN_RETURN_IF_ERROR(check_host_network());
  if (exec.security == graph::SecurityMode::kInsecure) KILN_RETURN_IF_ERROR(check_insecure());
  if (exec.cdi_devices.empty() || all_devices_) return ok();
  static const sandbox::ContainerDevices kNone({.disabled = true});
  return check_devices(exec, devices != nullptr ? *devices : kNone);
}

Status Entitlements::check_devices(graph::ExecOp& exec, const sandbox::ContainerDevices& devices) const {
  std::vector<graph::CdiDevice> out;
  std::vector<std::string> wanted;
  for (const graph::CdiDevice& device : exec.cdi_devices) {
    const auto alias = devices_.find(device.name);
    if (alias != devices_.end() && !alias->second.empty()) {
      out.push_back({alias->second, device.optional});  // named by the client, so allowed
      continue;
    }
    KILN_ASSIGN_OR_RETURN(const std::vector<std::string> found, devices.find(device.name, device.optional));
    for (const std::string& name : found) {
      if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) wanted.push_back(name);
    }
  }
  std::set<std::string> granted;
  for (const auto& [name, meaning] : devices_) {
    if (!meaning.empty() || wanted.empty()) continue;
    KILN_ASSIGN_OR_RETURN(const std::vector<std::string> found, devices.find(name, /*optional=*/false));
    granted.insert(found.begin(), found.end());
  }
  for (const sandbox::ContainerDevice& device : devices.list()) {
    if (device.auto_allowed) granted.insert(device.name);
  }
  std::vector<std::string> forbidden;
  for (const std::string& name : wanted) {
    if (granted.contains(name)) {
      out.push_back({name, false});
    } else {
      forbidden.push_back(name);
    }
  }
  if (!forbidden.empty()) {
    return user_error(Code::kPermissionDenied, fmt::format("device{} {} {} requested by the build but not allowed",
                                                           forbidden.size() == 1 ? "" : "s", join(forbidden, ", "),
                                                           forbidden.size() == 1 ? "is" : "are"));
  }
  exec.cdi_devices = std::move(out);
  return ok();
}

}  // namespace kiln::daemon
