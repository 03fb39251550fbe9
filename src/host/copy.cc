#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "host/fs.h"

namespace kiln::host {

namespace {

constexpr std::size_t kStepBytes = 16 << 20;   // between looks at the stop token
constexpr std::size_t kSmallBytes = 64 << 10;  // up to here asking about extents and holes costs more than copying

// `size` is what the file says; 0 may be a lie.
Status copy_by_reading(int from, int to, std::uint64_t size, std::stop_token stop) {
  thread_local std::vector<char> buffer(kChunkBytes);
  for (;;) {
    if (stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(std::size_t n, read_some(from, buffer));
    if (n == 0) return ok();
    KILN_RETURN_IF_ERROR(write_all(to, std::string_view(buffer.data(), n)));
    if (n == size && n < buffer.size()) return ok();  // the usual case: no read that only tells the end
  }
}

// One stretch of data; false when the kernel cannot copy between these files.
Result<bool> copy_range(int from, int to, off_t begin, off_t end, std::stop_token stop) {
  off_t in = begin, out = begin;
  while (in < end) {
    if (stop.stop_requested()) return cancelled();
    std::size_t want = std::min<std::size_t>(static_cast<std::size_t>(end - in), kStepBytes);
    ssize_t n = ::copy_file_range(from, &in, to, &out, want, 0);
    if (n == 0) return true;  // the file became shorter
    if (n < 0) {
      if (errno == EINTR) continue;
      if (in == begin &&
          (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM)) {
        return false;
      }
      return errno_error(errno, "copy a file");
    }
  }
  return true;
}

}  // namespace

Status copy_contents(int from, int to, std::uint64_t size, std::stop_token stop) {
  if (size == 0) return copy_by_reading(from, to, size, stop);  // also for files that lie about their size
  if (size <= kSmallBytes) return copy_by_reading(from, to, size, stop);
  if (::ioctl(to, FICLONE, from) == 0) return ok();
  const off_t end = static_cast<off_t>(size);
  off_t at = 0;
  bool holes = false;
  while (at < end) {
    off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
      holes = true;
      break;
    }
    if (data < 0) data = at;  // no holes known here
    off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0 || hole > end) hole = end;
    holes = holes || data > at || hole < end;
    KILN_ASSIGN_OR_RETURN(bool copied, copy_range(from, to, data, hole, stop));
    if (!copied) {
      ::lseek(from, 0, SEEK_SET);
      ::lseek(to, 0, SEEK_SET);
      return copy_by_reading(from, to, size, stop);
    }
    at = hole;
  }
  if (holes && ::ftruncate(to, end) != 0) return errno_error(errno, "set the length of a copy");
  return ok();
}

}  // namespace kiln::host
