#include "session/internal/tree_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "host/fs.h"

namespace kiln::session::internal {
namespace {

void times_of(const FileStat& stat, timespec (&times)[2]) {
  std::int64_t seconds = stat.modified_ns / 1'000'000'000, rest = stat.modified_ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  times[0] = times[1] = {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

}  // namespace

Status TreeWriter::failed(int error, const char* what, const std::string& path) const {
  return errno_error(error, fmt::format("{} '{}/{}'", what, dir_, path));
}

Result<std::unique_ptr<TreeWriter>> TreeWriter::open(const std::string& dir) {
  KILN_ASSIGN_OR_RETURN(host::Fd root, host::open_file(dir, O_RDONLY | O_DIRECTORY));
  return std::unique_ptr<TreeWriter>(new TreeWriter(dir, std::move(root)));
}

TreeWriter::Kind TreeWriter::look(const std::string& path) const {
  struct stat info;
  if (fstatat(root_.get(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return Kind::kNothing;
  return S_ISDIR(info.st_mode) ? Kind::kDir : Kind::kOther;
}

Status TreeWriter::remove(const std::string& path, std::stop_token stop) {
  folder_fd_.reset();  // may be what goes
  if (unlinkat(root_.get(), path.c_str(), 0) == 0 || errno == ENOENT) return ok();
  if (errno != EISDIR && errno != EPERM) return failed(errno, "remove", path);
  return host::remove_all_at(root_.get(), path, stop);
}

Status TreeWriter::make_dir(const std::string& path) {
  if (mkdirat(root_.get(), path.c_str(), 0700) != 0) return failed(errno, "make directory", path);
  return ok();
}

Status TreeWriter::set_attributes(const FileStat& stat) {
  const char* path = stat.path.c_str();
  if (!stat.xattrs.empty()) {
    // A file system without them, or a name only another user may set, is no reason to fail.
    std::string full = dir_ + "/" + stat.path;
    for (const auto& [name, value] : stat.xattrs) lsetxattr(full.c_str(), name.c_str(), value.data(), value.size(), 0);
  }
  if (fchownat(root_.get(), path, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return failed(errno, "set the owner of", stat.path);
  }
  if (!stat.is_symlink() && fchmodat(root_.get(), path, posix_mode(stat.mode) & 07777, 0) != 0) {
    return failed(errno, "set the mode of", stat.path);
  }
  timespec times[2];
  times_of(stat, times);
  if (utimensat(root_.get(), path, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return failed(errno, "set the times of", stat.path);
  }
  return ok();
}

Status TreeWriter::finish_dir(const FileStat& stat) { return set_attributes(stat); }

Status TreeWriter::make_symlink(const FileStat& stat) {
  if (symlinkat(stat.link.c_str(), root_.get(), stat.path.c_str()) != 0) return failed(errno, "make link", stat.path);
  return set_attributes(stat);
}

Status TreeWriter::make_special(const FileStat& stat) {
  mode_t mode = posix_mode(stat.mode);
  dev_t device = stat.mode & kModeDevice ? makedev(stat.device_major, stat.device_minor) : 0;
  if (mknodat(root_.get(), stat.path.c_str(), (mode & S_IFMT) | 0600, device) != 0) {
    return failed(errno, "make device", stat.path);
  }
  return set_attributes(stat);
}

Status TreeWriter::make_link(const FileStat& stat) {
  if (linkat(root_.get(), stat.link.c_str(), root_.get(), stat.path.c_str(), 0) != 0) {
    return failed(errno, "make hard link", stat.path);
  }
  return ok();
}

Status TreeWriter::enter(std::string_view folder) {
  if (folder_fd_.valid() && folder == folder_) return ok();
  folder_ = folder;
  int fd =
      openat(root_.get(), folder_.empty() ? "." : folder_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return failed(errno, "open directory", folder_);
  folder_fd_ = host::Fd(fd);
  created_ = host::NewFiles::in(fd);
  return ok();
}

Result<TreeWriter::NewFile> TreeWriter::create_file(const FileStat& stat) {
  std::string_view path = stat.path;
  std::size_t slash = path.rfind('/');
  KILN_RETURN_IF_ERROR(enter(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash)));
  const char* name = stat.path.c_str() + (slash == std::string_view::npos ? 0 : slash + 1);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const mode_t mode = posix_mode(stat.mode) & 0777;
  // Never written in place: the old file may be shared with an earlier tree.
  int fd = openat(folder_fd_.get(), name, kFlags, mode);
  if (fd < 0 && errno == EEXIST && unlinkat(folder_fd_.get(), name, 0) == 0) {
    fd = openat(folder_fd_.get(), name, kFlags, mode);
  }
  if (fd < 0) return failed(errno, "create", stat.path);
  return NewFile{host::Fd(fd), created_};
}

Status TreeWriter::finish_file(const NewFile& file, const FileStat& stat) {
  const int fd = file.fd.get();
  if (!file.created.has_owner(stat.uid, stat.gid) && fchown(fd, stat.uid, stat.gid) != 0) {
    return failed(errno, "set the owner of", stat.path);
  }
  for (const auto& [name, value] : stat.xattrs) fsetxattr(fd, name.c_str(), value.data(), value.size(), 0);
  const mode_t mode = posix_mode(stat.mode) & 07777;
  if (!file.created.has_mode(mode) && fchmod(fd, mode) != 0) return failed(errno, "set the mode of", stat.path);
  timespec times[2];
  times_of(stat, times);
  if (futimens(fd, times) != 0) return failed(errno, "set the times of", stat.path);
  return ok();
}

}  // namespace kiln::session::internal
