#include "layer/internal/tree_paths.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "host/fs.h"

namespace kiln::layer::internal {
namespace {
constexpr std::size_t kFoldersMax = 100;
}

std::optional<std::string> clean_path(std::string_view name, Climb climb) {
  if (name.find('\0') != std::string_view::npos) return std::nullopt;
  std::string out;
  while (!name.empty()) {
    auto slash = name.find('/');
    std::string_view part = name.substr(0, slash);
    name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (out.empty() && climb == Climb::kStaysAtRoot) continue;
      if (out.empty()) return std::nullopt;
      auto last = out.rfind('/');
      out.resize(last == std::string::npos ? 0 : last);
      continue;
    }
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

PathParts part_path(const std::string& clean) {
  auto slash = clean.rfind('/');
  if (slash == std::string::npos) return {"", clean};
  return {clean.substr(0, slash), clean.substr(slash + 1)};
}

Result<host::Fd> open_below(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  while (true) {
    long fd = ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (fd >= 0) return host::Fd(static_cast<int>(fd));
    // EAGAIN: something was renamed meanwhile and the kernel cannot vouch for ".."; ask again.
    if (errno != EINTR && errno != EAGAIN) return errno_error(errno, fmt::format("open '{}'", path));
  }
}

Result<int> ParentFolders::remember(const std::string& parent, host::Fd fd) {
  if (open_.size() >= kFoldersMax) open_.clear();
  int number = fd.get();
  open_[parent] = std::move(fd);
  return number;
}

Result<int> ParentFolders::open(const std::string& parent) {
  if (parent.empty()) return root_;
  if (auto it = open_.find(parent); it != open_.end()) return it->second.get();
  auto fd = open_below(root_, parent, O_PATH | O_DIRECTORY);
  if (!fd.ok() && errno_of(fd.status()) == ENOENT) {
    KILN_RETURN_IF_ERROR(make(parent));
    fd = open_below(root_, parent, O_PATH | O_DIRECTORY);
  }
  KILN_RETURN_IF_ERROR(fd.status());
  return remember(parent, *std::move(fd));
}

Status ParentFolders::make(const std::string& path) {
  PathParts parts = part_path(path);
  KILN_ASSIGN_OR_RETURN(int parent, open(parts.parent));
  if (::mkdirat(parent, parts.base.c_str(), 0755) != 0) {
    return errno_error(errno, fmt::format("make folder '{}'", path));
  }
  return take_attributes(parent, parts.base, path);
}

Status ParentFolders::take_attributes(int parent_fd, const std::string& base, const std::string& path) {
  if (::fchmodat(parent_fd, base.c_str(), 0755, 0) != 0) return errno_error(errno, fmt::format("chmod '{}'", path));
  for (const std::string& lower : lowers_) {
    host::Fd lower_root(::open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!lower_root.valid()) continue;
    auto found = open_below(lower_root.get(), path, O_PATH);
    if (!found.ok()) continue;
    struct stat st {};
    if (::fstat(found->get(), &st) != 0 || !S_ISDIR(st.st_mode)) return ok();  // replaced: nothing to take over
    if (::fchownat(parent_fd, base.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        ::fchmodat(parent_fd, base.c_str(), st.st_mode & 07777, 0) != 0) {
      return errno_error(errno, fmt::format("copy attributes to '{}'", path));
    }
    taken_times_.emplace_back(path, st.st_mtim);
    KILN_ASSIGN_OR_RETURN(auto xattrs, host::xattrs_of(host::fd_path(found->get()) + "/."));
    std::string target = fmt::format("{}/{}", host::fd_path(parent_fd), base);
    for (const auto& [name, value] : xattrs) {
      if (name.find("overlay.") == std::string::npos) (void)host::set_xattr(target, name, value);
    }
    return ok();
  }
  return ok();
}

}  // namespace kiln::layer::internal
