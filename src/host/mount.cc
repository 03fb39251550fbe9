#include "host/mount.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/text.h"
#include "host/fs.h"

namespace kiln::host {

namespace {

struct Attribute {
  const char* name;
  std::uint64_t mount_attr;  // for the new calls
  unsigned long flag;        // for mount(2)
};
constexpr Attribute kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, MS_RDONLY},        {"nosuid", MOUNT_ATTR_NOSUID, MS_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, MS_NODEV},       {"noexec", MOUNT_ATTR_NOEXEC, MS_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MS_NOATIME}, {"nodiratime", MOUNT_ATTR_NODIRATIME, MS_NODIRATIME},
};

const Attribute* find_attribute(std::string_view option) {
  for (const Attribute& a : kAttributes) {
    if (option == a.name) return &a;
  }
  return nullptr;
}

std::uint64_t mount_attributes(const MountSpec& spec) {
  std::uint64_t attributes = 0;
  for (const std::string& option : spec.options) {
    if (const Attribute* a = find_attribute(option)) attributes |= a->mount_attr;
  }
  return attributes;
}

bool is_bind(const MountSpec& spec) {
  return spec.type == "bind" || spec.type == "rbind" || spec.has_option("bind") || spec.has_option("rbind");
}

Result<Fd> open_bind(const MountSpec& spec) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  bool recursive = spec.type == "rbind" || spec.has_option("rbind");
  if (recursive) flags |= AT_RECURSIVE;
  Fd tree(::open_tree(AT_FDCWD, spec.source.c_str(), flags));
  if (!tree.valid()) return errno_error(errno, fmt::format("bind '{}'", spec.source));
  if (std::uint64_t attributes = mount_attributes(spec)) {
    struct mount_attr change = {};
    change.attr_set = attributes;
    unsigned at = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
    if (::mount_setattr(tree.get(), "", at, &change, sizeof change) != 0) {
      return errno_error(errno, fmt::format("set the attributes of the bind of '{}'", spec.source));
    }
  }
  return tree;
}

// What the kernel wrote into the context's log, for the error message.
std::string context_log(int context) {
  char line[512];
  std::string log;
  for (ssize_t n; (n = ::read(context, line, sizeof line)) > 0;) {
    if (!log.empty()) log += "; ";
    log += trim(std::string_view(line, static_cast<std::size_t>(n)));
  }
  return log;
}

Status context_error(int context, int error, std::string_view what) {
  std::string log = context_log(context);
  return errno_error(error, log.empty() ? std::string(what) : fmt::format("{} ({})", what, log));
}

Status set_option(int context, const MountSpec& spec, std::string_view option) {
  auto [name, value] = split_once(option, '=');
  std::string key(name), text(value);
  bool flag = name.size() == option.size();
  int result = flag ? ::fsconfig(context, FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0)
                    : ::fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), text.c_str(), 0);
  if (result != 0) return context_error(context, errno, fmt::format("mount {}: option '{}'", spec.type, option));
  return ok();
}

Status set_options(int context, const MountSpec& spec) {
  for (const std::string& option : spec.options) {
    if (find_attribute(option)) continue;
    if (spec.type == "overlay" && option.starts_with("lowerdir=")) {
      for (const std::string& layer : split_lower_dirs(std::string_view(option).substr(9))) {
        KILN_RETURN_IF_ERROR(set_option(context, spec, fmt::format("lowerdir+={}", layer)));
      }
      continue;
    }
    KILN_RETURN_IF_ERROR(set_option(context, spec, option));
  }
  return ok();
}

Result<Fd> open_filesystem(const MountSpec& spec) {
  Fd context(::fsopen(spec.type.c_str(), FSOPEN_CLOEXEC));
  if (!context.valid()) return errno_error(errno, fmt::format("mount {}", spec.type));
  if (!spec.source.empty() && ::fsconfig(context.get(), FSCONFIG_SET_STRING, "source", spec.source.c_str(), 0) != 0) {
    return context_error(context.get(), errno, fmt::format("mount {}: source '{}'", spec.type, spec.source));
  }
  KILN_RETURN_IF_ERROR(set_options(context.get(), spec));
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return context_error(context.get(), errno, fmt::format("mount {}", spec.type));
  }
  Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(mount_attributes(spec))));
  if (!mount.valid()) return context_error(context.get(), errno, fmt::format("mount {}", spec.type));
  return mount;
}

// The directory that all layers have in common, so that mount(2)'s single page holds more of them.
std::string common_directory(const std::vector<std::string>& paths) {
  std::string common = paths.empty() ? "/" : paths.front();
  for (const std::string& path : paths) {
    std::size_t n = 0;
    while (n < common.size() && n < path.size() && common[n] == path[n]) ++n;
    common.resize(n);
  }
  std::size_t slash = common.rfind('/');
  return slash == std::string::npos ? "" : common.substr(0, slash);
}

// mount(2) for kernels without "lowerdir+". Runs on a thread of its own, whose working directory is
// not the process's, so that layers can be named relative to it.
Status mount_classic(const MountSpec& spec, const std::string& target) {
  unsigned long flags = 0;
  std::vector<std::string> layers, rest;
  for (const std::string& option : spec.options) {
    if (const Attribute* a = find_attribute(option)) {
      flags |= a->flag;
    } else if (spec.type == "overlay" && option.starts_with("lowerdir=")) {
      layers = split_lower_dirs(std::string_view(option).substr(9));
    } else {
      rest.push_back(option);
    }
  }
  std::string base = layers.size() > 1 ? common_directory(layers) : "";
  if (!layers.empty()) {
    for (std::string& layer : layers) layer = escape_overlay_path(base.empty() ? layer : layer.substr(base.size() + 1));
    rest.push_back(fmt::format("lowerdir={}", join(layers, ":")));
  }
  std::string data = join(rest, ",");
  int error = 0;
  std::jthread([&] {
    if (!base.empty() && (::unshare(CLONE_FS) != 0 || ::chdir(base.c_str()) != 0)) {
      error = errno;
      return;
    }
    if (::mount(spec.source.c_str(), target.c_str(), spec.type.c_str(), flags, data.c_str()) != 0) error = errno;
  }).join();
  if (error != 0) return errno_error(error, fmt::format("mount {} at '{}'", spec.type, target));
  return ok();
}

bool lacks_new_calls(const Status& status) {
  std::optional<int> error = errno_of(status);
  return error == ENOSYS || error == EINVAL;
}

}  // namespace

bool MountSpec::has_option(std::string_view option) const {
  return std::find(options.begin(), options.end(), option) != options.end();
}

std::string_view MountSpec::option_value(std::string_view name) const {
  for (const std::string& option : options) {
    auto [key, value] = split_once(option, '=');
    if (key == name) return value;
  }
  return {};
}

Result<Fd> open_mount(const MountSpec& spec) {
  if (is_bind(spec)) return open_bind(spec);
  Result<Fd> mount = open_filesystem(spec);
  if (mount.ok() || spec.type != "overlay" || !lacks_new_calls(mount.status())) return mount;
  // An older kernel: mount on a place of no consequence, hold it, take the place away.
  KILN_ASSIGN_OR_RETURN(TempDir place, TempDir::make("kiln-mount-"));
  if (Status classic = mount_classic(spec, place.path()); !classic.ok()) return mount.status();
  Fd held(::open_tree(AT_FDCWD, place.path().c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  int error = errno;
  ::umount2(place.path().c_str(), MNT_DETACH);
  if (!held.valid()) return errno_error(error, "hold an overlay mount");
  return held;
}

Status attach(int mount_fd, const std::string& target) {
  if (::move_mount(mount_fd, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return errno_error(errno, fmt::format("mount at '{}'", target));
  }
  return ok();
}

Mount::~Mount() { (void)close(); }

Mount& Mount::operator=(Mount&& other) noexcept {
  if (this != &other) {
    (void)close();
    target_ = std::exchange(other.target_, {});
  }
  return *this;
}

Result<Mount> Mount::at(const MountSpec& spec, const std::string& target) {
  KILN_ASSIGN_OR_RETURN(Fd tree, open_mount(spec));
  KILN_RETURN_IF_ERROR(attach(tree.get(), target));
  return Mount(target);
}

Status Mount::close() {
  std::string target = std::exchange(target_, {});
  if (target.empty() || ::umount2(target.c_str(), 0) == 0) return ok();
  if (errno == EBUSY && ::umount2(target.c_str(), MNT_DETACH) == 0) return ok();
  return errno_error(errno, fmt::format("unmount '{}'", target));
}

Status unmount_below(const std::string& path) {
  std::vector<std::string> targets;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::vector<std::string_view> fields = split(line, ' ');
    if (fields.size() < 5) continue;
    std::string target;
    for (std::size_t i = 0; i < fields[4].size(); ++i) {  // blanks are written as \040
      if (fields[4][i] == '\\' && i + 3 < fields[4].size()) {
        target += static_cast<char>(std::stoi(std::string(fields[4].substr(i + 1, 3)), nullptr, 8));
        i += 3;
      } else {
        target += fields[4][i];
      }
    }
    if (target == path || target.starts_with(path + "/")) targets.push_back(std::move(target));
  }
  for (auto target = targets.rbegin(); target != targets.rend(); ++target) {
    if (::umount2(target->c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
      return errno_error(errno, fmt::format("unmount '{}'", *target));
    }
  }
  return ok();
}

bool overlay_works(const std::string& dir) {
  Result<TempDir> place = TempDir::make("overlay-check-", dir);
  if (!place.ok()) return false;
  const std::string& at = place->path();
  for (const char* name : {"/low", "/low2", "/up", "/work"}) {
    if (!make_dir(at + name).ok()) return false;
  }
  Result<Fd> mount = open_mount({"overlay",
                                 "overlay",
                                 {fmt::format("lowerdir={}/low2:{}/low", at, at), fmt::format("upperdir={}/up", at),
                                  fmt::format("workdir={}/work", at)}});
  if (!mount.ok()) return false;
  return open_at(mount->get(), "probe", O_WRONLY | O_CREAT).ok();
}

std::string escape_overlay_path(std::string_view path) {
  std::string escaped;
  for (char c : path) {
    if (c == ':' || c == '\\' || c == ',') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::vector<std::string> split_lower_dirs(std::string_view lowerdir) {
  std::vector<std::string> layers(1);
  for (std::size_t i = 0; i < lowerdir.size(); ++i) {
    if (lowerdir[i] == '\\' && i + 1 < lowerdir.size()) {
      layers.back() += lowerdir[++i];
    } else if (lowerdir[i] == ':') {
      layers.emplace_back();
    } else {
      layers.back() += lowerdir[i];
    }
  }
  return layers;
}

}  // namespace kiln::host
