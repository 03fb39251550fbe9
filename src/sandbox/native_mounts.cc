#include "sandbox/native_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "base/gopath.h"
#include "base/text.h"
#include "host/fs.h"
#include "host/mount.h"
#include "sandbox/mount_source.h"
#include "sandbox/security.h"

namespace kiln::sandbox {
namespace {

using Act = SetupStep::Act;
constexpr std::uint64_t kQuiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

Status make_node(int folder, const std::string& name, const Device& device) {
  const mode_t kind = device.type == 'b' ? S_IFBLK : S_IFCHR;
  if (::mknodat(folder, name.c_str(), kind | device.mode, makedev(device.major, device.minor)) != 0 &&
      errno != EEXIST) {
    return errno_error(errno, fmt::format("make device '{}'", device.path));
  }
  // The daemon's umask took its share.
  if (::fchmodat(folder, name.c_str(), device.mode, 0) != 0)
    return errno_error(errno, fmt::format("make device '{}'", device.path));
  if ((device.uid != 0 || device.gid != 0) && ::fchownat(folder, name.c_str(), device.uid, device.gid, 0) != 0) {
    return errno_error(errno, fmt::format("make device '{}'", device.path));
  }
  return ok();
}

Status make_nodes(int dev, const ContainerSpec& container) {
  for (const Device& device : devices_of(container)) {
    const std::string path = clean_path(device.path);
    if (!path.starts_with("/dev/")) continue;
    const std::string inside = path.substr(5);
    const std::size_t slash = inside.rfind('/');
    if (slash == std::string::npos) {
      KILN_RETURN_IF_ERROR(make_node(dev, inside, device));
    } else {
      KILN_ASSIGN_OR_RETURN(host::Fd folder, host::make_dirs_in_root(dev, inside.substr(0, slash), 0755));
      KILN_RETURN_IF_ERROR(make_node(folder.get(), inside.substr(slash + 1), device));
    }
  }
  return ok();
}

Status make_links(int dev) {
  constexpr std::pair<const char*, const char*> kLinks[] = {
      {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
      {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},         {"/proc/kcore", "core"}};
  for (const auto& [target, name] : kLinks) {
    if (::symlinkat(target, dev, name) != 0) return errno_error(errno, fmt::format("link '/dev/{}'", name));
  }
  for (const char* name : {"pts", "shm", "mqueue"}) {
    if (::mkdirat(dev, name, 0755) != 0) return errno_error(errno, fmt::format("make '/dev/{}'", name));
  }
  return ok();
}

}  // namespace

const char* NativeMounts::keep(std::string text) {
  texts_.push_back(std::make_unique<std::string>(std::move(text)));
  return texts_.back()->c_str();
}

const char* const* NativeMounts::keep_options(std::vector<std::string> options) {
  auto list = std::make_unique<std::vector<const char*>>();
  for (std::string& option : options) list->push_back(keep(std::move(option)));
  list->push_back(nullptr);
  lists_.push_back(std::move(list));
  return lists_.back()->data();
}

void NativeMounts::attach(host::Fd mount, const std::string& target) {
  steps_.push_back({.act = Act::kAttach, .fd = mount.get(), .path = keep(target)});
  placed_.push_back({target, mount.get()});
  held_.push_back(std::move(mount));
}

void NativeMounts::mount_new(const char* type, const char* target, std::vector<std::string> options,
                             std::uint64_t attributes) {
  steps_.push_back({.act = Act::kMountNew,
                    .path = target,
                    .type = type,
                    .options = keep_options(std::move(options)),
                    .attributes = attributes});
  placed_.push_back({target, -1});
}

Result<std::unique_ptr<NativeMounts>> NativeMounts::prepare(const ContainerSpec& container,
                                                            const MountSurroundings& surroundings,
                                                            MountPoints& points) {
  auto mounts = std::unique_ptr<NativeMounts>(new NativeMounts());
  KILN_RETURN_IF_ERROR(mounts->add_system(container, surroundings, points));
  for (const Mount& mount : container.mounts) {
    if (Status status = mounts->add_user_mount(mount, surroundings, points); !status.ok()) {
      return annotate(status, fmt::format("failed to mount {}", mount.target));
    }
  }
  if (container.security == SecurityMode::kSandbox) {
    for (std::string_view path : masked_paths()) {
      if (surroundings.host_pids && path.starts_with("/proc")) continue;
      mounts->steps_.push_back({.act = Act::kMask, .path = path.data()});
    }
    for (std::string_view path : readonly_paths()) {
      if (surroundings.host_pids && path.starts_with("/proc")) continue;
      mounts->steps_.push_back({.act = Act::kReadonly, .path = path.data()});
    }
  }
  if (container.root_readonly) mounts->steps_.push_back({.act = Act::kSealRoot});
  return mounts;
}

Status NativeMounts::add_system(const ContainerSpec& container, const MountSurroundings& surroundings,
                                MountPoints& points) {
  const bool insecure = container.security == SecurityMode::kInsecure;
  for (const char* folder : {"/proc", "/dev", "/sys"}) {
    KILN_RETURN_IF_ERROR(points.ensure(folder, MountPoints::Kind::kDirectory, MountPoints::Stay::kKept));
  }
  if (surroundings.host_pids) {
    KILN_ASSIGN_OR_RETURN(host::Fd proc, host::open_mount({"bind", "/proc", {"rbind"}}));
    attach(std::move(proc), "/proc");
  } else {
    mount_new("proc", "/proc", {}, kQuiet);
  }
  KILN_RETURN_IF_ERROR(add_dev(container, surroundings, points));
  mount_new("sysfs", "/sys", {}, insecure ? kQuiet : kQuiet | MOUNT_ATTR_RDONLY);
  KILN_RETURN_IF_ERROR(add_file(surroundings.resolv_conf, "/etc/resolv.conf", points));
  KILN_RETURN_IF_ERROR(add_file(surroundings.hosts, "/etc/hosts", points));
  return add_cgroup(container, surroundings);
}

Status NativeMounts::add_dev(const ContainerSpec& container, const MountSurroundings& surroundings, MountPoints&) {
  KILN_ASSIGN_OR_RETURN(host::Fd dev, host::open_mount({"tmpfs", "tmpfs", {"nosuid", "mode=755", "size=65536k"}}));
  KILN_RETURN_IF_ERROR(make_nodes(dev.get(), container));
  KILN_RETURN_IF_ERROR(make_links(dev.get()));
  if (surroundings.terminal >= 0 && ::mknodat(dev.get(), "console", S_IFREG | 0600, 0) != 0) {
    return errno_error(errno, "make '/dev/console'");
  }
  attach(std::move(dev), "/dev");
  mount_new("devpts", "/dev/pts", {"newinstance", "", "ptmxmode", "0666", "mode", "0620", "gid", "5"},
            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  mount_new("tmpfs", "/dev/shm", {"mode", "1777", "size", fmt::to_string(container.shm_bytes)}, kQuiet);
  mount_new("mqueue", "/dev/mqueue", {}, kQuiet);
  if (surroundings.terminal >= 0) {
    KILN_ASSIGN_OR_RETURN(host::Fd console, clone_tree(surroundings.terminal, {"bind", "", {}}));
    attach(std::move(console), "/dev/console");
  }
  return ok();
}

Status NativeMounts::add_cgroup(const ContainerSpec& container, const MountSurroundings& surroundings) {
  const auto& folders = surroundings.cgroup_folders;
  if (folders.empty()) return ok();
  const bool writable = container.security == SecurityMode::kInsecure;
  const std::uint64_t attributes = writable ? kQuiet : kQuiet | MOUNT_ATTR_RDONLY;
  if (folders.size() == 1 && folders[0].first.empty()) {
    mount_new("cgroup2", "/sys/fs/cgroup", {}, attributes);
    return ok();
  }
  // Version 1 has no root of its own in a namespace: its folders are shown one by one.
  KILN_ASSIGN_OR_RETURN(host::Fd roof, host::open_mount({"tmpfs", "tmpfs", {"mode=755"}}));
  for (const auto& [name, folder] : folders) {
    if (::mkdirat(roof.get(), name.c_str(), 0755) != 0) return errno_error(errno, "make a cgroup folder");
    if (name.find(',') == std::string::npos) continue;
    for (std::string_view one : split(name, ',')) (void)::symlinkat(name.c_str(), roof.get(), std::string(one).c_str());
  }
  mount_attr change{};
  change.attr_set = attributes;
  if (::mount_setattr(roof.get(), "", AT_EMPTY_PATH, &change, sizeof change) != 0) {
    return errno_error(errno, "seal '/sys/fs/cgroup'");
  }
  attach(std::move(roof), "/sys/fs/cgroup");
  for (const auto& [name, folder] : folders) {
    host::MountSpec spec{"bind", folder, {"nosuid", "nodev", "noexec"}};
    if (!writable) spec.options.push_back("ro");
    KILN_ASSIGN_OR_RETURN(host::Fd mount, host::open_mount(spec));
    attach(std::move(mount), "/sys/fs/cgroup/" + name);
  }
  return ok();
}

Status NativeMounts::add_file(const std::string& source, const char* target, MountPoints& points) {
  KILN_RETURN_IF_ERROR(points.ensure(target, MountPoints::Kind::kFile, MountPoints::Stay::kStub));
  KILN_ASSIGN_OR_RETURN(host::Fd mount, host::open_mount({"bind", source, {"ro", "nosuid", "nodev", "noexec"}}));
  attach(std::move(mount), target);
  return ok();
}

Status NativeMounts::add_user_mount(const Mount& mount, const MountSurroundings& surroundings, MountPoints& points) {
  const std::string target = join_path("/", mount.target);
  host::Fd tree;
  if (mount.file) {
    KILN_ASSIGN_OR_RETURN(MemoryFile file, surroundings.memory_files->put(*mount.file));
    KILN_ASSIGN_OR_RETURN(tree, host::open_mount(bind_of(file, *mount.file)));
    files_.push_back(std::move(file));
  } else {
    KILN_ASSIGN_OR_RETURN(tree, open_source(mount, surroundings.scratch_root));
  }
  struct stat info;
  if (::fstat(tree.get(), &info) != 0) return errno_error(errno, "look at the mount");
  KILN_RETURN_IF_ERROR(ensure_place(target, S_ISDIR(info.st_mode), points));
  attach(std::move(tree), target);
  return ok();
}

// The place may lie in the tree or inside a mount that comes before it.
Status NativeMounts::ensure_place(const std::string& target, bool directory, MountPoints& points) {
  for (auto placed = placed_.rbegin(); placed != placed_.rend(); ++placed) {
    if (!target.starts_with(placed->target + "/")) continue;
    if (placed->fd < 0) return ok();
    MountPoints inside(placed->fd, false);
    return inside.ensure(target.substr(placed->target.size()),
                         directory ? MountPoints::Kind::kDirectory : MountPoints::Kind::kFile,
                         MountPoints::Stay::kKept);
  }
  return points.ensure(target, directory ? MountPoints::Kind::kDirectory : MountPoints::Kind::kFile,
                       MountPoints::Stay::kStub);
}

std::string NativeMounts::describe(std::size_t step) const {
  if (step >= steps_.size()) return "mount";
  const SetupStep& at = steps_[step];
  switch (at.act) {
    case Act::kAttach: return fmt::format("mount at '{}'", at.path);
    case Act::kMountNew: return fmt::format("mount {} at '{}'", at.type, at.path);
    case Act::kReadonly: return fmt::format("make '{}' read-only", at.path);
    case Act::kMask: return fmt::format("hide '{}'", at.path);
    case Act::kSealRoot: return "make the root read-only";
  }
  return "mount";
}

}  // namespace kiln::sandbox
