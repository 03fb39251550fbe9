#include "host/new_files.h"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "host/fd.h"

namespace kiln::host {
namespace {

// umask(2) tells it only by changing it, for all threads.
mode_t read_umask() {
  Result<std::string> status = read_file("/proc/self/status", 64 << 10);
  std::size_t at = status.ok() ? status->find("\nUmask:") : std::string::npos;
  return at == std::string::npos ? 0777 : static_cast<mode_t>(std::strtoul(status->c_str() + at + 7, nullptr, 8));
}

}  // namespace

NewFiles NewFiles::in(int dir) {
  NewFiles out;
  struct stat info;
  if (::fstat(dir, &info) != 0 || (info.st_mode & S_ISGID) != 0) return out;
  if (::fgetxattr(dir, "system.posix_acl_default", nullptr, 0) > 0) return out;
  static const mode_t umask = read_umask();
  out.plain_ = true;
  out.uid_ = ::geteuid();
  out.gid_ = ::getegid();
  out.umask_ = umask;
  return out;
}

}  // namespace kiln::host
