#include "sandbox/memory_files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/id.h"
#include "host/fd.h"
#include "host/fs.h"
#include "host/mount.h"

namespace kiln::sandbox {

MemoryFile::~MemoryFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

MemoryFiles::~MemoryFiles() {
  if (mounted_) (void)::umount2(folder_.c_str(), MNT_DETACH);
}

Status MemoryFiles::mount_once() {
  std::lock_guard lock(mutex_);
  if (mounted_) return ok();
  KILN_RETURN_IF_ERROR(host::make_dirs(folder_, 0700));
  (void)::umount2(folder_.c_str(), MNT_DETACH);  // of a daemon that was killed
  KILN_ASSIGN_OR_RETURN(host::Fd tmpfs, host::open_mount({"tmpfs", "tmpfs", {"nosuid", "nodev", "mode=0700"}}));
  KILN_RETURN_IF_ERROR(host::attach(tmpfs.get(), folder_));
  mounted_ = true;
  return ok();
}

Result<MemoryFile> MemoryFiles::put(const InlineFile& file) {
  KILN_RETURN_IF_ERROR(mount_once());
  MemoryFile made(folder_ + "/" + new_id());
  KILN_ASSIGN_OR_RETURN(host::Fd fd, host::open_file(made.path(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  KILN_RETURN_IF_ERROR(host::write_all(fd.get(), file.bytes));
  if (::fchown(fd.get(), file.uid, file.gid) != 0 || ::fchmod(fd.get(), file.mode & 0777) != 0) {
    return errno_error(errno, "give a secret to its user");
  }
  return made;
}

host::MountSpec bind_of(const MemoryFile& file, const InlineFile& contents) {
  host::MountSpec spec{"bind", file.path(), {"ro", "nodev", "nosuid"}};
  if ((contents.mode & 0111) == 0) spec.options.push_back("noexec");
  return spec;
}

}  // namespace kiln::sandbox
