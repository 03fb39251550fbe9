#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "host/fs.h"

namespace kiln::host {

namespace {

constexpr std::size_t kStepBytes = 16 << 20;  // between looks at the stop token

Status copy_by_reading(int from, int to, std::stop_token stop) {
  std::vector<char> buffer(kChunkBytes);
  for (;;) {
    if (stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(std::size_t n, read_some(from, buffer));
    if (n == 0) return ok();
    KILN_RETURN_IF_ERROR(write_all(to, std::string_view(buffer.data(), n)));
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
      if (in == begin && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM)) {
        return false;
      }
      return errno_error(errno, "copy a file");
    }
  }
  return true;
}

}  // namespace

Status copy_contents(int from, int to, std::uint64_t size, std::stop_token stop) {
  if (size == 0) return copy_by_reading(from, to, stop);  // also for files that lie about their size
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
      return copy_by_reading(from, to, stop);
    }
    at = hole;
  }
  if (holes && ::ftruncate(to, end) != 0) return errno_error(errno, "set the length of a copy");
  return ok();
}

namespace {

// One run of copy_tree.
class TreeCopy {
 public:
  TreeCopy(const CopyOptions& options, std::stop_token stop) : options_(options), stop_(stop) {}

  Status directory(int from, int to, const std::string& prefix) {
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, list_dir(from));
    for (const std::string& name : names) {
      if (stop_.stop_requested()) return cancelled();
      std::string path = prefix.empty() ? name : prefix + "/" + name;
      if (Status status = entry(from, to, name, path); !status.ok()) {
        return is_cancelled(status) ? status : annotate(status, fmt::format("copy '{}'", path));
      }
    }
    return ok();
  }

  Status attributes(int from, int to, const std::string& name, const struct stat& info) {
    std::string source = fmt::format("{}/{}", fd_path(from), name);
    std::string target = fmt::format("{}/{}", fd_path(to), name);
    if (options_.keep_owner &&
        ::fchownat(to, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno_error(errno, "chown");
    }
    // After chown, which clears setuid.
    if (!S_ISLNK(info.st_mode) && ::fchmodat(to, name.c_str(), info.st_mode & 07777, 0) != 0) {
      return errno_error(errno, "chmod");
    }
    if (options_.keep_xattrs) {
      KILN_ASSIGN_OR_RETURN(Xattrs xattrs, xattrs_of(source));
      for (const auto& [key, value] : xattrs) {
        Status set = set_xattr(target, key, value);
        if (!set.ok() && errno_of(set) != ENOTSUP && errno_of(set) != EPERM) return set;
      }
    }
    if (options_.keep_times) {
      struct timespec times[2] = {info.st_atim, info.st_mtim};
      if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "set the time");
    }
    return ok();
  }

 private:
  Status entry(int from, int to, const std::string& name, const std::string& path) {
    struct stat info;
    if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "stat");
    if (options_.skip && options_.skip(path, info)) return ok();
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      auto [known, first] = links_.try_emplace({info.st_dev, info.st_ino}, path);
      if (!first) {
        if (::linkat(root_to_, known->second.c_str(), to, name.c_str(), 0) != 0) return errno_error(errno, "link");
        return ok();
      }
    }
    switch (info.st_mode & S_IFMT) {
      case S_IFDIR: {
        if (::mkdirat(to, name.c_str(), 0700) != 0 && errno != EEXIST) return errno_error(errno, "mkdir");
        KILN_ASSIGN_OR_RETURN(Fd below_from, open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        KILN_ASSIGN_OR_RETURN(Fd below_to, open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        KILN_RETURN_IF_ERROR(directory(below_from.get(), below_to.get(), path));
        break;
      }
      case S_IFREG: {
        KILN_ASSIGN_OR_RETURN(Fd in, open_at(from, name, O_RDONLY | O_NOFOLLOW));
        KILN_ASSIGN_OR_RETURN(Fd out, open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
        KILN_RETURN_IF_ERROR(copy_contents(in.get(), out.get(), static_cast<std::uint64_t>(info.st_size), stop_));
        break;
      }
      case S_IFLNK: {
        KILN_ASSIGN_OR_RETURN(std::string target, read_link_at(from, name));
        if (::symlinkat(target.c_str(), to, name.c_str()) != 0) return errno_error(errno, "symlink");
        break;
      }
      case S_IFSOCK:
        return ok();
      default:
        if (::mknodat(to, name.c_str(), info.st_mode, info.st_rdev) != 0) return errno_error(errno, "mknod");
    }
    return attributes(from, to, name, info);
  }

 public:
  int root_to_ = -1;

 private:
  const CopyOptions& options_;
  std::stop_token stop_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

Status copy_tree(const std::string& from, const std::string& to, const CopyOptions& options, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Fd source, open_file(from, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(Fd target, open_file(to, O_RDONLY | O_DIRECTORY));
  TreeCopy copy(options, stop);
  copy.root_to_ = target.get();
  KILN_RETURN_IF_ERROR(copy.directory(source.get(), target.get(), ""));
  struct stat info;
  if (::fstat(source.get(), &info) != 0) return errno_error(errno, "stat");
  return copy.attributes(source.get(), target.get(), ".", info);
}

}  // namespace kiln::host
