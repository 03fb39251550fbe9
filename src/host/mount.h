// Mounts as plain data, and mounts held by RAII.
//
// A MountSpec says what to mount, in the words of mount(8) and of the OCI runtime-spec ("type",
// "source", "options"); it says nothing about where. Rooms pass specs around and mount late.
//
//   MountSpec root{"overlay", "overlay", {"lowerdir=/b:/a", "upperdir=/u", "workdir=/w"}};
//   KILN_ASSIGN_OR_RETURN(Fd tree, open_mount(root));       // a mount without a place
//   KILN_RETURN_IF_ERROR(attach(tree.get(), "/run/step/root"));
//
// Overlays are made with fsopen/fsconfig/fsmount and one "lowerdir+" a layer, so their count is not
// bound by the page that mount(2) takes; older kernels get mount(2) with relative paths. Blocks for
// the time of the system calls only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "host/fd.h"

namespace kiln::host {

// Types: "bind", "rbind" (source is a directory or file), "overlay" (options lowerdir=top:…:bottom,
// upperdir=, workdir=), "tmpfs", "proc" and what else the kernel knows. "ro" among the options makes
// the mount read-only; "nosuid", "nodev", "noexec" likewise.
struct MountSpec {
  std::string type;
  std::string source;
  std::vector<std::string> options;

  bool has_option(std::string_view option) const;
  // The text after "name=", or "".
  std::string_view option_value(std::string_view name) const;
  bool readonly() const { return has_option("ro"); }
  bool operator==(const MountSpec&) const = default;
};

// Makes the mount without a place in any directory: it goes when the descriptor closes, unless it
// was attached. Good for reading a tree ("openat(tree, …)"), and cheap.
Result<Fd> open_mount(const MountSpec& spec);

// Puts a mount from open_mount at the path, which must exist. The descriptor stays usable.
Status attach(int mount_fd, const std::string& target);

// A mount at a path; unmounts (lazily when busy) when destroyed. One thread at a time.
class Mount {
 public:
  Mount() = default;
  ~Mount();
  Mount(Mount&& other) noexcept : target_(std::exchange(other.target_, {})) {}
  Mount& operator=(Mount&& other) noexcept;

  static Result<Mount> at(const MountSpec& spec, const std::string& target);
  const std::string& target() const { return target_; }
  bool active() const { return !target_.empty(); }
  // Unmounts and tells about failure.
  Status close();
  // Keeps the mount in place; the caller unmounts.
  std::string release() { return std::exchange(target_, {}); }

 private:
  explicit Mount(std::string target) : target_(std::move(target)) {}
  std::string target_;
};

// Unmounts everything mounted at or below `path`, deepest first, lazily. For sweeping what a killed
// daemon left.
Status unmount_below(const std::string& path);

// Whether the kernel makes an overlay whose layers lie in `dir` (an existing, writable directory).
// Tries it; leaves nothing behind.
bool overlay_works(const std::string& dir);

// Paths inside lowerdir= are separated by ':'; this writes "\:" and "\\" for such bytes in a name.
std::string escape_overlay_path(std::string_view path);
// The layers of a lowerdir= value, top first, unescaped.
std::vector<std::string> split_lower_dirs(std::string_view lowerdir);

}  // namespace kiln::host
