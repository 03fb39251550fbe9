#include "host/tree_copy.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace kiln::host {

Status TreeCopy::directory(int from, int to, const std::string& path) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, list_dir(from));
  for (const std::string& name : names) {
    if (stop_.stop_requested()) return cancelled();
    std::string below = path.empty() ? name : path + "/" + name;
    if (Status status = entry(from, to, name, below); !status.ok()) {
      return is_cancelled(status) ? status : annotate(status, fmt::format("copy '{}'", below));
    }
  }
  return ok();
}

Status TreeCopy::entry(int from, int to, const std::string& name, const std::string& path) {
  struct stat info;
  if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "stat");
  if (options_.skip && options_.skip(path, info)) return ok();
  KILN_ASSIGN_OR_RETURN(bool more, make(from, to, name, path, info));
  if (!more) return ok();
  if (S_ISDIR(info.st_mode)) {
    KILN_ASSIGN_OR_RETURN(Fd below_from, open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    KILN_ASSIGN_OR_RETURN(Fd below_to, open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    KILN_RETURN_IF_ERROR(directory(below_from.get(), below_to.get(), path));
  }
  return attributes(from, to, name, info);
}

Status TreeCopy::entry_alone(int from, int to, const std::string& name, const std::string& path,
                             const struct stat& info) {
  KILN_ASSIGN_OR_RETURN(bool more, make(from, to, name, path, info));
  return more ? attributes(from, to, name, info) : ok();
}

Result<bool> TreeCopy::make(int from, int to, const std::string& name, const std::string& path,
                            const struct stat& info) {
  if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
    auto [known, first] = links_.try_emplace({info.st_dev, info.st_ino}, path);
    if (!first) {
      if (::linkat(target_root_, known->second.c_str(), to, name.c_str(), 0) != 0) return errno_error(errno, "link");
      return false;
    }
  }
  switch (info.st_mode & S_IFMT) {
    case S_IFDIR:
      if (::mkdirat(to, name.c_str(), 0700) != 0 && errno != EEXIST) return errno_error(errno, "mkdir");
      return true;
    case S_IFREG: {
      KILN_ASSIGN_OR_RETURN(Fd in, open_at(from, name, O_RDONLY | O_NOFOLLOW));
      KILN_ASSIGN_OR_RETURN(Fd out, open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
      KILN_RETURN_IF_ERROR(copy_contents(in.get(), out.get(), static_cast<std::uint64_t>(info.st_size), stop_));
      return true;
    }
    case S_IFLNK: {
      KILN_ASSIGN_OR_RETURN(std::string target, read_link_at(from, name));
      if (::symlinkat(target.c_str(), to, name.c_str()) != 0) return errno_error(errno, "symlink");
      return true;
    }
    case S_IFSOCK: return false;
    default:
      if (::mknodat(to, name.c_str(), info.st_mode, info.st_rdev) != 0) return errno_error(errno, "mknod");
      return true;
  }
}

Status TreeCopy::attributes(int from, int to, const std::string& name, const struct stat& info) {
  if (options_.keep_owner && ::fchownat(to, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(errno, "chown");
  }
  // After chown, which clears setuid.
  if (!S_ISLNK(info.st_mode) && ::fchmodat(to, name.c_str(), info.st_mode & 07777, 0) != 0) {
    return errno_error(errno, "chmod");
  }
  if (options_.keep_xattrs) {
    std::string target = fmt::format("{}/{}", fd_path(to), name);
    KILN_ASSIGN_OR_RETURN(Xattrs xattrs, xattrs_of(fmt::format("{}/{}", fd_path(from), name)));
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

Status copy_tree(const std::string& from, const std::string& to, const CopyOptions& options, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Fd source, open_file(from, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(Fd target, open_file(to, O_RDONLY | O_DIRECTORY));
  TreeCopy copy(target.get(), options, stop);
  KILN_RETURN_IF_ERROR(copy.directory(source.get(), target.get(), ""));
  struct stat info;
  if (::fstat(source.get(), &info) != 0) return errno_error(errno, "stat");
  return copy.attributes(source.get(), target.get(), ".", info);
}

}  // namespace kiln::host
