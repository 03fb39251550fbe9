#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "host/fs.h"
#include "host/tree_copy.h"
#include "snapshot/difference.h"

namespace kiln::snapshot {

namespace {

using host::Fd;
constexpr char kOpaque[] = "trusted.overlay.opaque";

bool takes_away(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

Status apply_directory(int from, int to, const std::string& path, host::TreeCopy& copy, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(from));
  for (const std::string& name : names) {
    if (stop.stop_requested()) return cancelled();
    std::string at = path.empty() ? name : path + "/" + name;
    struct stat info, there;
    if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return errno_error(errno, fmt::format("stat '{}'", at));
    std::string source = fmt::format("{}/{}", host::fd_path(from), name);
    bool directory = S_ISDIR(info.st_mode);
    bool opaque = directory && host::xattr_of(source, kOpaque) == "y";
    bool merges =
        directory && !opaque && ::fstatat(to, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(there.st_mode);
    if (!merges) KILN_RETURN_IF_ERROR(host::remove_all_at(to, name, stop));
    if (takes_away(info)) continue;
    KILN_RETURN_IF_ERROR(copy.entry_alone(from, to, name, at, info));
    if (!directory) continue;
    if (opaque) KILN_RETURN_IF_ERROR(host::remove_xattr(fmt::format("{}/{}", host::fd_path(to), name), kOpaque));
    KILN_ASSIGN_OR_RETURN(Fd below_from, host::open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    KILN_ASSIGN_OR_RETURN(Fd below_to, host::open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    KILN_RETURN_IF_ERROR(apply_directory(below_from.get(), below_to.get(), at, copy, stop));
    KILN_RETURN_IF_ERROR(copy.attributes(from, to, name, info));  // the time changed while we worked in it
    if (opaque) KILN_RETURN_IF_ERROR(host::remove_xattr(fmt::format("{}/{}", host::fd_path(to), name), kOpaque));
  }
  return ok();
}

Status strip_directory(int dir, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(dir));
  for (const std::string& name : names) {
    if (stop.stop_requested()) return cancelled();
    struct stat info;
    if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "stat");
    if (takes_away(info) && ::unlinkat(dir, name.c_str(), 0) != 0) return errno_error(errno, "unlink");
    if (!S_ISDIR(info.st_mode)) continue;
    KILN_ASSIGN_OR_RETURN(Fd below, host::open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    KILN_RETURN_IF_ERROR(strip_directory(below.get(), stop));
    KILN_RETURN_IF_ERROR(host::remove_xattr(host::fd_path(below.get()) + "/.", kOpaque));
    struct timespec times[2] = {info.st_atim, info.st_mtim};
    (void)::futimens(below.get(), times);
  }
  return ok();
}

}  // namespace

Status apply_difference(const std::string& difference, const std::string& target, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Fd from, host::open_file(difference, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(Fd to, host::open_file(target, O_RDONLY | O_DIRECTORY));
  host::CopyOptions options;
  host::TreeCopy copy(to.get(), options, stop);
  KILN_RETURN_IF_ERROR(apply_directory(from.get(), to.get(), "", copy, stop));
  struct stat info;
  if (::fstat(from.get(), &info) != 0) return errno_error(errno, "stat");
  return copy.attributes(from.get(), to.get(), ".", info);
}

Status strip_difference(const std::string& difference, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Fd dir, host::open_file(difference, O_RDONLY | O_DIRECTORY));
  return strip_directory(dir.get(), stop);
}

}  // namespace kiln::snapshot
