#include "daemon/tree_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "base/glob.h"
#include "base/gopath.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

constexpr std::size_t kFileBytesMax = 16 << 20;  // what fits into one message

// st_mode as Go's os.FileMode, which the protocol carries.
std::uint32_t go_mode(mode_t mode) {
  std::uint32_t out = mode & 0777;
  if (S_ISDIR(mode)) out |= 1u << 31;
  if (S_ISLNK(mode)) out |= 1u << 27;
  if (S_ISBLK(mode) || S_ISCHR(mode)) out |= 1u << 26;
  if (S_ISCHR(mode)) out |= 1u << 21;
  if (S_ISFIFO(mode)) out |= 1u << 25;
  if (S_ISSOCK(mode)) out |= 1u << 24;
  if (mode & S_ISUID) out |= 1u << 23;
  if (mode & S_ISGID) out |= 1u << 22;
  if (mode & S_ISVTX) out |= 1u << 20;
  return out;
}

Result<frontend::FileStat> to_file_stat(int root, const std::string& path, const std::string& name,
                                        const struct stat& st) {
  frontend::FileStat out;
  out.path = name;
  out.mode = go_mode(st.st_mode);
  out.uid = st.st_uid;
  out.gid = st.st_gid;
  out.size = S_ISDIR(st.st_mode) ? 0 : st.st_size;
  out.mod_time = static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
  if (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)) {
    out.dev_major = major(st.st_rdev);
    out.dev_minor = minor(st.st_rdev);
  }
  if (S_ISLNK(st.st_mode)) {
    KILN_ASSIGN_OR_RETURN(auto link, host::open_in_root(root, path, O_PATH | O_NOFOLLOW));
    KILN_ASSIGN_OR_RETURN(out.link_name, host::read_link_at(link.get(), ""));
  }
  if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
    KILN_ASSIGN_OR_RETURN(auto file, host::open_in_root(root, path, O_RDONLY | O_NONBLOCK));
    KILN_ASSIGN_OR_RETURN(auto xattrs, host::xattrs_of(file.get()));
    for (auto& [key, value] : xattrs) {
      if (!key.starts_with("trusted.overlay.")) out.xattrs[key] = value;
    }
  }
  return out;
}

Status not_found(std::string_view verb, const std::string& path) {
  return user_error(Code::kNotFound, fmt::format("{} {}: no such file or directory", verb, path));
}

}  // namespace

Result<std::string> read_file_in(int root, const frontend::ReadRequest& request) {
  auto file = host::open_in_root(root, request.path, O_RDONLY | O_NONBLOCK);
  if (!file.ok() && is_not_found(file.status())) return not_found("open", request.path);
  if (!file.ok()) return annotate(file.status(), fmt::format("open {}", request.path));
  struct stat st {};
  if (fstat(file->get(), &st) != 0) return errno_error(errno, request.path);
  if (!S_ISREG(st.st_mode))
    return user_error(Code::kFailedPrecondition, fmt::format("{} is not a regular file", request.path));
  std::size_t size_max = kFileBytesMax;
  if (request.range) {
    if (lseek(file->get(), request.range->offset, SEEK_SET) < 0) return errno_error(errno, request.path);
    if (request.range->length > 0) {
      std::string part(static_cast<std::size_t>(std::min<std::int64_t>(request.range->length, kFileBytesMax)), '\0');
      std::size_t have = 0;
      while (have < part.size()) {
        KILN_ASSIGN_OR_RETURN(std::size_t n, host::read_some(file->get(), {part.data() + have, part.size() - have}));
        if (n == 0) break;
        have += n;
      }
      part.resize(have);
      return part;
    }
  }
  return host::read_to_end(file->get(), size_max);
}

Result<std::vector<frontend::FileStat>> read_dir_in(int root, const std::string& path,
                                                    const std::string& include_pattern) {
  KILN_ASSIGN_OR_RETURN(auto resolved, host::resolve_in_root(root, path, host::FollowLast::kYes));
  auto dir = host::open_in_root(root, resolved, O_RDONLY | O_DIRECTORY);
  if (!dir.ok() && is_not_found(dir.status())) return not_found("open", path);
  if (!dir.ok()) return dir.status();
  KILN_ASSIGN_OR_RETURN(auto names, host::list_dir(dir->get()));
  std::vector<frontend::FileStat> out;
  for (const auto& name : names) {
    if (!include_pattern.empty()) {
      KILN_ASSIGN_OR_RETURN(bool wanted, glob_match(include_pattern, name));
      if (!wanted) continue;
    }
    std::string child = resolved + "/" + name;
    KILN_ASSIGN_OR_RETURN(auto st, host::stat_in_root(root, child, host::FollowLast::kNo));
    if (!st) continue;
    KILN_ASSIGN_OR_RETURN(auto entry, to_file_stat(root, child, name, *st));
    out.push_back(std::move(entry));
  }
  return out;
}

Result<frontend::FileStat> stat_in(int root, const std::string& path) {
  KILN_ASSIGN_OR_RETURN(auto st, host::stat_in_root(root, path, host::FollowLast::kNo));
  if (!st) return not_found("lstat", path);
  return to_file_stat(root, path, std::string(base_name(path)), *st);
}

}  // namespace kiln::daemon
