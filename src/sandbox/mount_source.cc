#include "sandbox/mount_source.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "base/gopath.h"
#include "base/id.h"
#include "host/fs.h"
#include "host/mount.h"

namespace kiln::sandbox {

Result<host::Fd> clone_tree(int fd, const host::MountSpec& what) {
  const bool recursive = what.type == "rbind" || what.has_option("rbind");
  host::Fd tree(
      ::open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0)));
  if (!tree.valid()) return errno_error(errno, "bind");
  mount_attr change{};
  if (what.has_option("ro")) change.attr_set |= MOUNT_ATTR_RDONLY;
  if (what.has_option("nosuid")) change.attr_set |= MOUNT_ATTR_NOSUID;
  if (what.has_option("nodev")) change.attr_set |= MOUNT_ATTR_NODEV;
  if (what.has_option("noexec")) change.attr_set |= MOUNT_ATTR_NOEXEC;
  if (change.attr_set != 0 && ::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &change, sizeof change) != 0) {
    return errno_error(errno, "set the attributes of a bind");
  }
  return tree;
}

namespace {

// The mount of a path inside what is to be mounted.
Result<host::Fd> open_selected(const Mount& mount, const std::string& scratch_root) {
  const bool bind = mount.what.type == "bind" || mount.what.type == "rbind";
  host::Fd base;
  if (bind) {
    KILN_ASSIGN_OR_RETURN(base, host::open_file(mount.what.source, O_PATH));
  } else {
    KILN_ASSIGN_OR_RETURN(base, host::open_mount(mount.what));
  }
  KILN_ASSIGN_OR_RETURN(host::Fd inside, host::open_in_root(base.get(), mount.selector, O_PATH));
  Result<host::Fd> tree = clone_tree(inside.get(), mount.what);
  if (tree.ok() || bind) return tree;
  // Before Linux 6.15 only what has a place can be cloned: give it one for the moment.
  const std::string place = scratch_root + "/selected-" + new_id();
  KILN_RETURN_IF_ERROR(host::make_dir(place));
  Status placed = host::attach(base.get(), place);
  if (placed.ok()) {
    Result<host::Fd> again = host::open_in_root(base.get(), mount.selector, O_PATH);
    tree = again.ok() ? clone_tree(again->get(), mount.what) : Result<host::Fd>(again.status());
    (void)::umount2(place.c_str(), MNT_DETACH);
  }
  (void)::rmdir(place.c_str());
  KILN_RETURN_IF_ERROR(placed);
  return tree;
}

}  // namespace

Result<host::Fd> open_source(const Mount& mount, const std::string& scratch_root) {
  if (join_path("/", mount.selector) == "/") return host::open_mount(mount.what);
  return open_selected(mount, scratch_root);
}

}  // namespace kiln::sandbox
