#include "layer/internal/lower_trees.h"

#include <fmt/format.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "host/fs.h"

namespace kiln::layer::internal {
namespace {

std::string capability_of(const Candidate& c) {
  char value[64];
  std::string path = fmt::format("{}/{}", host::fd_path(c.folder), c.name);
  ssize_t n = ::lgetxattr(path.c_str(), "security.capability", value, sizeof value);
  return n > 0 ? std::string(value, static_cast<std::size_t>(n)) : std::string();
}

Result<bool> same_bytes(const Candidate& a, const Candidate& b) {
  constexpr std::size_t kPiece = 64 * 1024;
  KILN_ASSIGN_OR_RETURN(host::Fd fa, host::open_at(a.folder, a.name, O_RDONLY | O_NOFOLLOW));
  KILN_ASSIGN_OR_RETURN(host::Fd fb, host::open_at(b.folder, b.name, O_RDONLY | O_NOFOLLOW));
  auto buffer = std::make_unique<char[]>(2 * kPiece);
  char* pa = buffer.get();
  char* pb = pa + kPiece;
  for (off_t at = 0;;) {
    ssize_t na = ::pread(fa.get(), pa, kPiece, at);
    if (na < 0) return errno_error(errno, fmt::format("read '{}'", a.name));
    if (na == 0) return true;
    for (ssize_t have = 0; have < na;) {
      ssize_t nb = ::pread(fb.get(), pb + have, static_cast<std::size_t>(na - have), at + have);
      if (nb < 0) return errno_error(errno, fmt::format("read '{}'", b.name));
      if (nb == 0) return false;
      have += nb;
    }
    if (std::memcmp(pa, pb, static_cast<std::size_t>(na)) != 0) return false;
    at += na;
  }
}

Result<bool> same_content(const Candidate& a, const Candidate& b) {
  if (S_ISLNK(a.info.st_mode)) {
    KILN_ASSIGN_OR_RETURN(std::string la, host::read_link_at(a.folder, a.name));
    KILN_ASSIGN_OR_RETURN(std::string lb, host::read_link_at(b.folder, b.name));
    return la == lb;
  }
  if (!S_ISREG(a.info.st_mode) || a.info.st_size == 0) return true;
  return same_bytes(a, b);
}

bool has_mark(int fd, const char* name) {
  char value[4];
  return ::fgetxattr(fd, name, value, sizeof value) == 1 && value[0] == 'y';
}

}  // namespace

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

bool is_opaque(int fd) { return has_mark(fd, "trusted.overlay.opaque") || has_mark(fd, "user.overlay.opaque"); }

bool is_redirected(int fd) { return ::fgetxattr(fd, "trusted.overlay.redirect", nullptr, 0) > 0; }

Result<LowerFolder> LowerFolder::open(const std::vector<std::string>& roots) {
  LowerFolder folder;
  for (const auto& root : roots) {
    KILN_ASSIGN_OR_RETURN(host::Fd fd, host::open_file(root, O_RDONLY | O_DIRECTORY));
    bool last = is_opaque(fd.get());
    folder.folders_.push_back(std::move(fd));
    if (last) break;
  }
  return folder;
}

Result<std::optional<LowerFolder::Found>> LowerFolder::find(const std::string& name) const {
  for (const auto& folder : folders_) {
    Found found{{}, folder.get()};
    if (::fstatat(folder.get(), name.c_str(), &found.info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return errno_error(errno, fmt::format("stat '{}'", name));
    }
    if (is_whiteout(found.info)) return std::optional<Found>();
    return std::optional<Found>(found);
  }
  return std::optional<Found>();
}

Result<LowerFolder> LowerFolder::descend(const std::string& name) const {
  LowerFolder below;
  for (const auto& folder : folders_) {
    int fd = ::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
      if (errno == ENOENT) continue;
      if (errno == ENOTDIR || errno == ELOOP) break;  // a file or a whiteout hides what is below it
      return errno_error(errno, fmt::format("open folder '{}'", name));
    }
    below.folders_.emplace_back(fd);
    if (is_opaque(fd)) break;
  }
  return below;
}

Result<std::vector<std::string>> LowerFolder::names() const {
  std::set<std::string> shown, hidden;
  for (const auto& folder : folders_) {
    KILN_ASSIGN_OR_RETURN(auto names, host::list_dir(folder.get()));
    for (auto& name : names) {
      if (hidden.contains(name) || shown.contains(name)) continue;
      struct stat info {};
      if (::fstatat(folder.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      (is_whiteout(info) ? hidden : shown).insert(std::move(name));
    }
  }
  return std::vector<std::string>(shown.begin(), shown.end());
}

Result<bool> same_entry(const Candidate& a, const Candidate& b, TimeRule rule) {
  if (a.info.st_dev == b.info.st_dev && a.info.st_ino == b.info.st_ino) return true;
  if (a.info.st_mode != b.info.st_mode || a.info.st_uid != b.info.st_uid || a.info.st_gid != b.info.st_gid ||
      a.info.st_rdev != b.info.st_rdev) {
    return false;
  }
  if (S_ISREG(a.info.st_mode) && capability_of(a) != capability_of(b)) return false;
  if (S_ISDIR(a.info.st_mode)) return true;
  if (a.info.st_size != b.info.st_size || a.info.st_mtim.tv_sec != b.info.st_mtim.tv_sec) return false;
  long na = a.info.st_mtim.tv_nsec, nb = b.info.st_mtim.tv_nsec;
  bool compare = rule == TimeRule::kBothWhole ? na == 0 && nb == 0 : na == 0 || nb == 0;
  if (compare) return same_content(a, b);
  return na == nb;
}

}  // namespace kiln::layer::internal
