#include "sandbox/container_devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/quote.h"
#include "base/text.h"
#include "host/fs.h"
#include "sandbox/plain_yaml.h"

namespace kiln::sandbox {
namespace {

using Json = nlohmann::json;
constexpr std::string_view kClass = "org.mobyproject.buildkit.device.class";
constexpr std::string_view kAutoAllow = "org.mobyproject.buildkit.device.autoallow";
constexpr std::size_t kSpecBytesMax = 4u << 20;

// A device with the edits of its file, which come first, and its own.
struct Described {
  std::string file;
  Json file_edits;
  Json edits;
  std::map<std::string, std::string> annotations;
};
using DescribedByName = std::map<std::string, Described>;

const Json& member(const Json& object, std::string_view name) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  const auto at = object.find(std::string(name));
  return at == object.end() ? kNone : *at;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

void add_annotations(const Json& from, std::map<std::string, std::string>& to) {
  if (!from.is_object()) return;
  for (const auto& [name, value] : from.items()) to[name] = text_of(value);
}

Status read_spec(const std::string& path, DescribedByName& out) {
  KILN_ASSIGN_OR_RETURN(const std::string text, host::read_file(path, kSpecBytesMax));
  KILN_ASSIGN_OR_RETURN(const std::unique_ptr<Json> spec, parse_plain_yaml(text));
  const std::string kind = text_of(member(*spec, "kind"));
  const Json& devices = member(*spec, "devices");
  if (kind.find('/') == std::string::npos || !devices.is_array()) {
    return user_error(Code::kInvalidArgument, "neither kind nor devices");
  }
  for (const Json& device : devices) {
    Described described{
        .file = path, .file_edits = member(*spec, "containerEdits"), .edits = member(device, "containerEdits")};
    add_annotations(member(*spec, "annotations"), described.annotations);
    add_annotations(member(device, "annotations"), described.annotations);
    out[kind + "=" + text_of(member(device, "name"))] = std::move(described);
  }
  return ok();
}

DescribedByName read_all(const ContainerDevicesOptions& options) {
  DescribedByName out;
  if (options.disabled) return out;
  for (const std::string& folder : options.folders) {
    Result<std::vector<std::string>> names = host::list_dir(folder);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      if (!name.ends_with(".yaml") && !name.ends_with(".yml") && !name.ends_with(".json")) continue;
      const std::string path = folder + "/" + name;
      if (Status status = read_spec(path, out); !status.ok())
        log_warn("device file '{}': {}", path, message_of(status));
    }
  }
  return out;
}

// Numbers may be written in octal ("0660").
std::uint32_t number_of(const Json& value, std::uint32_t otherwise) {
  if (value.is_number_integer()) return value.get<std::uint32_t>();
  if (!value.is_string()) return otherwise;
  return static_cast<std::uint32_t>(std::strtoul(value.get_ref<const std::string&>().c_str(), nullptr, 0));
}

Result<Device> device_of(const Json& node) {
  Device out{.path = text_of(member(node, "path"))};
  std::string host = text_of(member(node, "hostPath"));
  if (host.empty()) host = out.path;
  struct stat info {};
  const bool there = ::stat(host.c_str(), &info) == 0 && (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode));
  const Json& major_number = member(node, "major");
  if (!there && major_number.is_null()) return errno_error(ENOENT, fmt::format("device '{}'", host));
  const std::string type = text_of(member(node, "type"));
  out.type = type == "b" || (type.empty() && there && S_ISBLK(info.st_mode)) ? 'b' : 'c';
  out.major = number_of(major_number, there ? major(info.st_rdev) : 0);
  out.minor = number_of(member(node, "minor"), there ? minor(info.st_rdev) : 0);
  out.mode = number_of(member(node, "fileMode"), there ? info.st_mode & 07777u : 0666u);
  out.uid = number_of(member(node, "uid"), there ? info.st_uid : 0);
  out.gid = number_of(member(node, "gid"), there ? info.st_gid : 0);
  if (const std::string access = text_of(member(node, "permissions")); !access.empty()) out.access = access;
  return out;
}

Status apply(const Json& edits, ContainerSpec& container, ProcessSpec& process) {
  for (const Json& variable : member(edits, "env")) process.env.push_back(text_of(variable));
  for (const Json& node : member(edits, "deviceNodes")) {
    KILN_ASSIGN_OR_RETURN(Device device, device_of(node));
    container.devices.push_back(std::move(device));
  }
  for (const Json& mount : member(edits, "mounts")) {
    const std::string type = text_of(member(mount, "type"));
    Mount out{.what = {type.empty() ? "bind" : type, text_of(member(mount, "hostPath")), {}},
              .target = text_of(member(mount, "containerPath")),
              .selector = ""};
    for (const Json& option : member(mount, "options")) out.what.options.push_back(text_of(option));
    container.mounts.push_back(std::move(out));
  }
  if (!member(edits, "hooks").is_null()) log_warn("hooks of a device are not run");
  return ok();
}

bool says_yes(const std::string& text) {
  return text == "true" || text == "1" || text == "t" || text == "T" || text == "TRUE" || text == "True";
}

}  // namespace

std::vector<ContainerDevice> ContainerDevices::list() const {
  std::vector<ContainerDevice> out;
  for (auto& [name, described] : read_all(options_)) {
    ContainerDevice device{.name = name, .annotations = described.annotations};
    const std::string kind(split_once(name, '=').first);
    const auto said = described.annotations.find(std::string(kAutoAllow));
    device.auto_allowed = options_.auto_allowed.count(name) != 0 || options_.auto_allowed.count(kind) != 0 ||
                          (said != described.annotations.end() && says_yes(said->second));
    out.push_back(std::move(device));
  }
  return out;
}

Result<std::vector<std::string>> ContainerDevices::find(std::string_view request, bool optional) const {
  const std::vector<ContainerDevice> all = list();
  const auto [kind, name] = split_once(request, '=');
  std::vector<std::string> out;
  if (kind.find('/') != std::string_view::npos) {
    for (const ContainerDevice& device : all) {
      const bool of_kind = split_once(device.name, '=').first == kind;
      if (!of_kind || (!name.empty() && name != "*" && device.name != request)) continue;
      out.push_back(device.name);
      if (name.empty()) break;  // any one will do
    }
  }
  if (out.empty()) {
    for (const ContainerDevice& device : all) {
      const auto given = device.annotations.find(std::string(kClass));
      if (given != device.annotations.end() && given->second == request) out.push_back(device.name);
    }
  }
  if (!out.empty()) return out;
  if (!optional)
    return user_error(Code::kNotFound, fmt::format("required device {} is not registered", quote(request)));
  log_warn("optional device {} is not registered", quote(request));
  return out;
}

Status ContainerDevices::inject(const std::vector<std::string>& names, ContainerSpec& container,
                                ProcessSpec& process) const {
  const DescribedByName all = read_all(options_);
  std::set<std::string> files, done;
  for (const std::string& name : names) {
    if (!done.insert(name).second) continue;
    const auto described = all.find(name);
    if (described == all.end())
      return user_error(Code::kNotFound, fmt::format("required device {} is not registered", quote(name)));
    if (files.insert(described->second.file).second)
      KILN_RETURN_IF_ERROR(apply(described->second.file_edits, container, process));
    KILN_RETURN_IF_ERROR(apply(described->second.edits, container, process));
  }
  return ok();
}

}  // namespace kiln::sandbox
