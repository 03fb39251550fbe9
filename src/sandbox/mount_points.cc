#include "sandbox/mount_points.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/log.h"
#include "host/fd.h"
#include "host/fs.h"

namespace kiln::sandbox {
namespace {

struct Split {
  std::string parent;
  std::string name;
};
Split split_last(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

Result<host::Fd> open_folder(int root, const std::string& path) {
  return host::open_in_root(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
}

struct Place {
  bool directory;
  std::uint64_t size;
  // What is seen is still the step's mount, whose namespace is on its way out; below it lies the stub
  // as it was made, for nobody could write to it.
  bool covered;
};
std::optional<Place> look(int folder, const std::string& name) {
  struct statx here, above;
  const unsigned wanted = STATX_TYPE | STATX_SIZE | STATX_MNT_ID;
  if (::statx(folder, name.c_str(), AT_SYMLINK_NOFOLLOW, wanted, &here) != 0) return std::nullopt;
  const bool known = ::statx(folder, "", AT_EMPTY_PATH, STATX_MNT_ID, &above) == 0 &&
                     (here.stx_mask & above.stx_mask & STATX_MNT_ID) != 0;
  return Place{S_ISDIR(here.stx_mode), here.stx_size, known && here.stx_mnt_id != above.stx_mnt_id};
}

// Puts back the times a folder had when this was made.
class KeptTimes {
 public:
  explicit KeptTimes(int folder) : folder_(folder) { known_ = ::fstat(folder, &before_) == 0; }
  ~KeptTimes() {
    if (!known_) return;
    const timespec times[2] = {before_.st_atim, before_.st_mtim};
    (void)::futimens(folder_, times);
  }

 private:
  int folder_;
  bool known_;
  struct stat before_;
};

}  // namespace

Status MountPoints::ensure(std::string_view target, Kind kind, Stay stay) {
  KILN_ASSIGN_OR_RETURN(std::optional<struct stat> there, host::stat_in_root(root_, target, host::FollowLast::kYes));
  if (there) return ok();
  KILN_ASSIGN_OR_RETURN(std::string path, host::resolve_in_root(root_, target, host::FollowLast::kYes));
  if (path.empty()) return ok();
  return make(path, kind, stay);
}

Status MountPoints::make(const std::string& path, Kind kind, Stay stay) {
  const auto [parent, name] = split_last(path);
  Result<host::Fd> folder = open_folder(root_, parent);
  if (!folder.ok() && is_not_found(folder.status()) && !parent.empty()) {
    KILN_RETURN_IF_ERROR(make(parent, Kind::kDirectory, recursive_ ? stay : Stay::kKept));
    folder = open_folder(root_, parent);
  }
  KILN_RETURN_IF_ERROR(folder.status());
  const KeptTimes times(folder->get());
  const int made = kind == Kind::kDirectory ? ::mkdirat(folder->get(), name.c_str(), 0755)
                                            : ::mknodat(folder->get(), name.c_str(), S_IFREG | 0755, 0);
  if (made != 0) {
    if (errno == EEXIST) return ok();
    return errno_error(errno, fmt::format("create mount point '/{}'", path));
  }
  if (stay == Stay::kStub) stubs_.push_back(path);
  return ok();
}

void MountPoints::remove_stubs() {
  // Children before parents: they were made in the other order.
  for (auto stub = stubs_.rbegin(); stub != stubs_.rend(); ++stub) {
    const auto [parent, name] = split_last(*stub);
    // The step may have put a link in the way; then the stub is not where it was.
    Result<std::string> real = host::resolve_in_root(root_, parent, host::FollowLast::kYes);
    if (!real.ok() || *real != parent) continue;
    Result<host::Fd> folder = open_folder(root_, parent);
    if (!folder.ok()) continue;
    std::optional<Place> place = look(folder->get(), name);
    if (!place) continue;
    const bool directory = place->directory;
    if (!directory && place->size != 0 && !place->covered) continue;
    const KeptTimes times(folder->get());
    if (::unlinkat(folder->get(), name.c_str(), directory ? AT_REMOVEDIR : 0) != 0 && errno != ENOTEMPTY &&
        errno != EEXIST) {
      log_debug("mount stub '/{}' stays: errno {}", *stub, errno);
    }
  }
  stubs_.clear();
}

}  // namespace kiln::sandbox
