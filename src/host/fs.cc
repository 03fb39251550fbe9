#include "host/fs.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>

#include "base/id.h"
#include "base/text.h"

namespace kiln::host {

namespace {

constexpr int kLinksMax = 255;

int openat2_in_root(int root, const char* path, int flags, mode_t mode) {
  struct open_how how = {};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  int fd;
  int tries = 0;
  do {
    fd = static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how));
    // EAGAIN: a rename raced with ".." resolution; the kernel asks to try again.
  } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 64)));
  return fd;
}

bool is_missing(int error) { return error == ENOENT || error == ENOTDIR; }

}  // namespace

Result<Fd> open_in_root(int root, std::string_view path, int flags, mode_t mode) {
  std::string name(path.empty() ? "." : path);
  Fd file(openat2_in_root(root, name.c_str(), flags, mode));
  if (!file.valid()) return errno_error(errno, fmt::format("open '{}'", path));
  return file;
}

Result<std::optional<struct stat>> stat_in_root(int root, std::string_view path, FollowLast follow) {
  std::string name(path.empty() ? "." : path);
  int flags = O_PATH | (follow == FollowLast::kNo ? O_NOFOLLOW : 0);
  Fd file(openat2_in_root(root, name.c_str(), flags, 0));
  if (!file.valid()) {
    if (is_missing(errno)) return std::optional<struct stat>();
    return errno_error(errno, fmt::format("stat '{}'", path));
  }
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return errno_error(errno, fmt::format("stat '{}'", path));
  return std::optional(info);
}

Result<std::string> resolve_in_root(int root, std::string_view path, FollowLast follow) {
  std::string current;  // free of links
  std::string rest(path);
  int links = 0;
  while (!rest.empty()) {
    std::size_t slash = rest.find('/');
    std::string part = rest.substr(0, slash);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      std::size_t up = current.rfind('/');
      current = up == std::string::npos ? "" : current.substr(0, up);
      continue;
    }
    std::string next = current.empty() ? part : current + "/" + part;
    char target[PATH_MAX];
    bool last = rest.find_first_not_of('/') == std::string::npos;
    ssize_t n = last && follow == FollowLast::kNo ? -1 : ::readlinkat(root, next.c_str(), target, sizeof target);
    if (n < 0) {
      current = std::move(next);
      continue;
    }
    if (++links > kLinksMax) return errno_error(ELOOP, fmt::format("resolve '{}'", path));
    std::string_view link(target, static_cast<std::size_t>(n));
    if (link.starts_with('/')) current.clear();
    rest = std::string(link) + "/" + rest;
  }
  return current;
}

Result<Fd> make_dirs_in_root(int root, std::string_view path, mode_t mode, std::vector<std::string>* made) {
  KILN_ASSIGN_OR_RETURN(std::string resolved, resolve_in_root(root, path, FollowLast::kYes));
  std::string current;
  for (std::string_view part : split(resolved, '/')) {
    if (part.empty()) continue;
    current = current.empty() ? std::string(part) : fmt::format("{}/{}", current, part);
    if (::mkdirat(root, current.c_str(), mode) == 0) {
      if (made) made->push_back(current);
    } else if (errno != EEXIST) {
      return errno_error(errno, fmt::format("mkdir '{}'", current));
    }
  }
  return open_in_root(root, resolved, O_RDONLY | O_DIRECTORY);
}

std::string fd_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

bool exists(const std::string& path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0;
}

Status make_dir(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return ok();
  return errno_error(errno, fmt::format("mkdir '{}'", path));
}

Status make_dirs(const std::string& path, mode_t mode) {
  if (exists(path)) return ok();
  std::size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) KILN_RETURN_IF_ERROR(make_dirs(path.substr(0, slash), mode));
  return make_dir(path, mode);
}

Result<std::vector<std::string>> list_dir(int dir) {
  // A description of its own, so that the caller's offset stays and several threads may list.
  int fd = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = fd < 0 ? nullptr : ::fdopendir(fd);
  if (!stream) {
    int error = errno;
    if (fd >= 0) ::close(fd);
    return errno_error(error, "list a directory");
  }
  std::vector<std::string> names;
  errno = 0;
  while (struct dirent* entry = ::readdir(stream)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  int error = errno;
  ::closedir(stream);
  if (error != 0) return errno_error(error, "list a directory");
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<std::string>> list_dir(const std::string& path) {
  KILN_ASSIGN_OR_RETURN(Fd dir, open_file(path, O_RDONLY | O_DIRECTORY));
  return list_dir(dir.get());
}

Result<std::string> read_link_at(int dir, const std::string& name) {
  char target[PATH_MAX];
  ssize_t n = ::readlinkat(dir, name.c_str(), target, sizeof target);
  if (n < 0) return errno_error(errno, fmt::format("readlink '{}'", name));
  return std::string(target, static_cast<std::size_t>(n));
}

TempDir::~TempDir() {
  if (!path_.empty()) (void)remove_all(path_);
}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  if (this != &other) {
    if (!path_.empty()) (void)remove_all(path_);
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

Result<TempDir> TempDir::make(std::string_view prefix, const std::string& parent) {
  const char* env = ::getenv("TMPDIR");
  std::string base = !parent.empty() ? parent : env && *env ? env : "/tmp";
  std::string path = fmt::format("{}/{}{}", base, prefix, new_id());
  if (::mkdir(path.c_str(), 0700) != 0) return errno_error(errno, fmt::format("mkdir '{}'", path));
  return TempDir(std::move(path));
}

namespace {

// Sums up one directory; inodes with several names are counted once.
struct UsageWalk {
  DiskUsage total;
  std::set<std::pair<dev_t, ino_t>> seen;
  std::stop_token stop;

  void count(const struct stat& info) {
    if (info.st_nlink > 1 && !S_ISDIR(info.st_mode) && !seen.emplace(info.st_dev, info.st_ino).second) return;
    total.bytes += static_cast<std::int64_t>(info.st_blocks) * 512;
    ++total.inodes;
  }

  Status walk(Fd dir) {
    if (stop.stop_requested()) return cancelled();
    DIR* stream = ::fdopendir(dir.get());
    if (!stream) return errno_error(errno, "list a directory");
    dir.release();
    Status status;
    while (struct dirent* entry = ::readdir(stream)) {
      std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat info;
      if (::fstatat(::dirfd(stream), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
      count(info);
      if (!S_ISDIR(info.st_mode)) continue;
      Result<Fd> below = open_at(::dirfd(stream), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!below.ok()) continue;
      status = walk(std::move(*below));
      if (!status.ok()) break;
    }
    ::closedir(stream);
    return status;
  }
};

}  // namespace

Result<DiskUsage> disk_usage(const std::string& path, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Fd dir, open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  UsageWalk walk;
  walk.stop = stop;
  struct stat info;
  if (::fstat(dir.get(), &info) != 0) return errno_error(errno, fmt::format("stat '{}'", path));
  walk.count(info);
  KILN_RETURN_IF_ERROR(walk.walk(std::move(dir)));
  return walk.total;
}

Result<DiskSpace> disk_space(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) != 0) return errno_error(errno, fmt::format("statfs '{}'", path));
  auto bytes = [&](fsblkcnt_t blocks) { return static_cast<std::int64_t>(blocks * info.f_frsize); };
  return DiskSpace{bytes(info.f_blocks), bytes(info.f_bfree), bytes(info.f_bavail)};
}

}  // namespace kiln::host
