#include "host/space_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fs.h"

namespace kiln::host {

bool SpaceReserve::scarce() const {
  auto slash = path_.rfind('/');
  Result<DiskSpace> disk = disk_space(slash == std::string::npos ? "." : path_.substr(0, slash));
  return disk.ok() && disk->available < 2 * kBytes;
}

SpaceReserve::Loan SpaceReserve::lend() {
  std::lock_guard lock(mutex_);
  if (++loans_ == 1 && scarce()) (void)::unlink(path_.c_str());
  return Loan(*this);
}

void SpaceReserve::take_back() {
  std::lock_guard lock(mutex_);
  if (--loans_ > 0) return;
  struct stat info;
  if (::stat(path_.c_str(), &info) == 0 && info.st_size == kBytes) return;
  Result<Fd> file = open_file(path_, O_WRONLY | O_CREAT, 0600);
  if (!file.ok()) return;
  // Less is better than nothing; a half-filled reserve counts as none and is completed later.
  for (std::int64_t bytes = kBytes; bytes >= kBytes / 16; bytes /= 2) {
    if (::posix_fallocate(file->get(), 0, bytes) == 0) return;
  }
}

}  // namespace kiln::host
