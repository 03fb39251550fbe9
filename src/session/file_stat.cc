#include "session/file_stat.h"

#include <algorithm>

namespace kiln::session {

std::uint32_t go_mode(mode_t mode) {
  std::uint32_t out = mode & 0777;
  switch (mode & S_IFMT) {
    case S_IFDIR: out |= kModeDir; break;
    case S_IFLNK: out |= kModeSymlink; break;
    case S_IFIFO: out |= kModeFifo; break;
    case S_IFSOCK: out |= kModeSocket; break;
    case S_IFBLK: out |= kModeDevice; break;
    case S_IFCHR: out |= kModeDevice | kModeCharDevice; break;
    default: break;
  }
  if (mode & S_ISUID) out |= kModeSetuid;
  if (mode & S_ISGID) out |= kModeSetgid;
  if (mode & S_ISVTX) out |= kModeSticky;
  return out;
}

mode_t posix_mode(std::uint32_t mode) {
  mode_t out = mode & 0777;
  if (mode & kModeDir) {
    out |= S_IFDIR;
  } else if (mode & kModeSymlink) {
    out |= S_IFLNK;
  } else if (mode & kModeFifo) {
    out |= S_IFIFO;
  } else if (mode & kModeSocket) {
    out |= S_IFSOCK;
  } else if (mode & kModeDevice) {
    out |= mode & kModeCharDevice ? S_IFCHR : S_IFBLK;
  } else {
    out |= S_IFREG;
  }
  if (mode & kModeSetuid) out |= S_ISUID;
  if (mode & kModeSetgid) out |= S_ISGID;
  if (mode & kModeSticky) out |= S_ISVTX;
  return out;
}

int compare_paths(std::string_view a, std::string_view b) {
  auto [at_a, at_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  bool end_a = at_a == a.end(), end_b = at_b == b.end();
  if (end_a || end_b) return end_a == end_b ? 0 : end_a ? -1 : 1;
  if (*at_a == '/') return -1;
  if (*at_b == '/') return 1;
  return static_cast<unsigned char>(*at_a) < static_cast<unsigned char>(*at_b) ? -1 : 1;
}

}  // namespace kiln::session
