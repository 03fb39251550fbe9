#include "snapshot/internal/same_entry.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <vector>

#include "base/stream.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::snapshot {
namespace {

using host::Fd;

Result<bool> same_bytes(int lower, int upper, const std::string& name) {
  KILN_ASSIGN_OR_RETURN(Fd a, host::open_at(lower, name, O_RDONLY | O_NOFOLLOW));
  KILN_ASSIGN_OR_RETURN(Fd b, host::open_at(upper, name, O_RDONLY | O_NOFOLLOW));
  std::vector<char> one(kChunkBytes), two(kChunkBytes);
  for (;;) {
    KILN_ASSIGN_OR_RETURN(std::size_t n, host::read_some(a.get(), one));
    if (n == 0) return true;
    for (std::size_t at = 0; at < n;) {
      KILN_ASSIGN_OR_RETURN(std::size_t m, host::read_some(b.get(), std::span(two.data() + at, n - at)));
      if (m == 0) return false;
      at += m;
    }
    if (std::char_traits<char>::compare(one.data(), two.data(), n) != 0) return false;
  }
}

Result<host::Xattrs> visible_xattrs(int directory, const std::string& name) {
  KILN_ASSIGN_OR_RETURN(host::Xattrs xattrs, host::xattrs_of(fmt::format("{}/{}", host::fd_path(directory), name)));
  std::erase_if(xattrs, [](const auto& entry) { return entry.first.starts_with("trusted.overlay."); });
  return xattrs;
}

}  // namespace

Result<bool> same_entry(int lower, const struct stat& below, int upper, const struct stat& above,
                        const std::string& name) {
  const struct stat &a = below, &b = above;
  if (a.st_dev == b.st_dev && a.st_ino == b.st_ino) return true;
  if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev) return false;
  KILN_ASSIGN_OR_RETURN(host::Xattrs left, visible_xattrs(lower, name));
  KILN_ASSIGN_OR_RETURN(host::Xattrs right, visible_xattrs(upper, name));
  if (left != right) return false;
  if (S_ISDIR(a.st_mode)) return true;
  if (a.st_size != b.st_size || a.st_mtim.tv_sec != b.st_mtim.tv_sec) return false;
  if (S_ISLNK(a.st_mode)) {
    KILN_ASSIGN_OR_RETURN(std::string to_one, host::read_link_at(lower, name));
    KILN_ASSIGN_OR_RETURN(std::string to_two, host::read_link_at(upper, name));
    return to_one == to_two;
  }
  if (a.st_mtim.tv_nsec == b.st_mtim.tv_nsec && a.st_mtim.tv_nsec != 0) return true;
  if (a.st_mtim.tv_nsec != 0 && b.st_mtim.tv_nsec != 0) return false;
  // One of the two went through an archive that keeps whole seconds only.
  return S_ISREG(a.st_mode) ? same_bytes(lower, upper, name) : Result<bool>(true);
}

}  // namespace kiln::snapshot
