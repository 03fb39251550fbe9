#include "host/shared_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "base/gopath.h"
#include "host/fs.h"

namespace kiln::host {
namespace {

int lock(int file, int command, short type, std::int64_t place) {
  struct flock what {};
  what.l_type = type;
  what.l_whence = SEEK_SET;
  what.l_start = place;
  what.l_len = 1;
  int result = 0;
  do {
    result = ::fcntl(file, command, &what);
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

Result<SharedLock> SharedLock::open(const std::string& path) {
  KILN_RETURN_IF_ERROR(make_dirs(dir_name(path), 0755));
  Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return errno_error(errno, fmt::format("open lock file '{}'", path));
  return SharedLock(std::move(file));
}

Status SharedLock::share(std::int64_t place) const {
  return lock(file_.get(), F_OFD_SETLKW, F_RDLCK, place) == 0 ? ok() : errno_error(errno, "share a lock");
}

bool SharedLock::take(std::int64_t place) const { return lock(file_.get(), F_OFD_SETLK, F_WRLCK, place) == 0; }

void SharedLock::give(std::int64_t place) const { (void)lock(file_.get(), F_OFD_SETLK, F_UNLCK, place); }

}  // namespace kiln::host
