// The mounts of a native container, made by the daemon as far as possible (mounts without a place,
// held by descriptors) and written down as steps for the child, which only puts them where they
// belong in its own namespace.
//
//   auto mounts = NativeMounts::prepare(container, surroundings, points);
//   plan.steps = (*mounts)->steps().data();
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "host/fd.h"
#include "sandbox/child.h"
#include "sandbox/memory_files.h"
#include "sandbox/mount_points.h"
#include "sandbox/spec.h"

namespace kiln::sandbox {

// What the runner supplies beyond the container's own wishes.
struct MountSurroundings {
  std::string resolv_conf;  // files to show in /etc
  std::string hosts;
  // Folders of the container's cgroup by hierarchy name; "" is version 2.
  std::vector<std::pair<std::string, std::string>> cgroup_folders;
  bool host_pids = false;  // /proc of the host instead of a fresh one
  int terminal = -1;       // shown as /dev/console
  MemoryFiles* memory_files = nullptr;
  std::string scratch_root;  // a directory of ours for mounts that need a place for a moment
};

// Owner of everything that the steps point at. One thread at a time.
class NativeMounts {
 public:
  // Errors name the mount concerned.
  static Result<std::unique_ptr<NativeMounts>> prepare(const ContainerSpec& container,
                                                       const MountSurroundings& surroundings, MountPoints& points);

  const std::vector<SetupStep>& steps() const { return steps_; }
  // "mount proc at '/proc'", for the error of a step that failed.
  std::string describe(std::size_t step) const;

 private:
  Status add_system(const ContainerSpec& container, const MountSurroundings& surroundings, MountPoints& points);
  Status add_dev(const ContainerSpec& container, const MountSurroundings& surroundings, MountPoints& points);
  Status add_cgroup(const ContainerSpec& container, const MountSurroundings& surroundings);
  Status add_file(const std::string& source, const char* target, MountPoints& points);
  Status add_user_mount(const Mount& mount, const MountSurroundings& surroundings, MountPoints& points);
  Status ensure_place(const std::string& target, bool directory, MountPoints& points);
  const char* keep(std::string text);
  const char* const* keep_options(std::vector<std::string> options);
  void attach(host::Fd mount, const std::string& target);
  void mount_new(const char* type, const char* target, std::vector<std::string> options, std::uint64_t attributes);

  struct Placed {
    std::string target;
    int fd;  // -1: made by the child, places inside must exist already
  };
  std::vector<SetupStep> steps_;
  std::vector<Placed> placed_;
  std::vector<host::Fd> held_;
  std::vector<MemoryFile> files_;
  std::vector<std::unique_ptr<std::string>> texts_;
  std::vector<std::unique_ptr<std::vector<const char*>>> lists_;
};

}  // namespace kiln::sandbox
