#include "store/internal/touched_dirs.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/fs.h"

namespace kiln::store {
namespace {

constexpr const char* kOpaque = "trusted.overlay.opaque";

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0); }

bool is_opaque(const std::string& path) { return host::xattr_of(path, kOpaque).value_or("") == "y"; }

host::Xattrs visible_xattrs(const std::string& path) {
  auto xattrs = host::xattrs_of(path);
  if (!xattrs.ok()) return {};
  std::erase_if(*xattrs, [](const auto& entry) { return entry.first.starts_with("trusted.overlay."); });
  return *std::move(xattrs);
}

// Whether something in this layer hides what lies below `path` (relative).
bool hides(const std::string& layer, const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    std::string part = layer + "/" + path.substr(0, slash);
    struct stat info;
    if (::lstat(part.c_str(), &info) != 0) return false;
    if (!S_ISDIR(info.st_mode) || is_opaque(part)) return true;
  }
  return false;
}

// A step can nest directories deeper than any path can name them.
Status unreadable(int error, const std::string& path) {
  if (error != ENAMETOOLONG) return errno_error(error, fmt::format("list '{}' of a layer", path));
  return user_error(Code::kFailedPrecondition,
                    fmt::format("the step made a directory whose path is too long for a layer ({} bytes): '{}…'",
                                path.size(), path.substr(0, 100)));
}

class Dropper {
 public:
  Dropper(std::string upper, const std::vector<std::string>& lowers) : upper_(std::move(upper)), lowers_(lowers) {}

  // Gives whether the directory is empty afterwards.
  Result<bool> directory(const std::string& path) {
    std::string at = path.empty() ? upper_ : upper_ + "/" + path;
    std::vector<std::string> folders;
    bool others = false;
    DIR* stream = ::opendir(at.c_str());
    if (!stream) return unreadable(errno, path);
    while (const struct dirent* entry = ::readdir(stream)) {
      std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (entry->d_type == DT_DIR) {
        folders.emplace_back(name);
      } else {
        others = true;
      }
    }
    ::closedir(stream);
    for (const auto& name : folders) {
      std::string child = path.empty() ? name : path + "/" + name;
      KILN_ASSIGN_OR_RETURN(bool empty, directory(child));
      bool gone = empty && same_below(child) && ::rmdir((upper_ + "/" + child).c_str()) == 0;
      others |= !gone;
    }
    return !others;
  }

 private:
  bool same_below(const std::string& path) const {
    std::string mine = upper_ + "/" + path;
    struct stat above, below;
    if (::lstat(mine.c_str(), &above) != 0 || is_opaque(mine)) return false;
    for (auto layer = lowers_.rbegin(); layer != lowers_.rend(); ++layer) {
      std::string other = *layer + "/" + path;
      if (::lstat(other.c_str(), &below) == 0) {
        return !is_whiteout(below) && S_ISDIR(below.st_mode) && above.st_mode == below.st_mode &&
               above.st_uid == below.st_uid && above.st_gid == below.st_gid &&
               above.st_mtim.tv_sec == below.st_mtim.tv_sec && above.st_mtim.tv_nsec == below.st_mtim.tv_nsec &&
               visible_xattrs(mine) == visible_xattrs(other);
      }
      if (hides(*layer, path)) return false;
    }
    return false;
  }

  std::string upper_;
  const std::vector<std::string>& lowers_;
};

}  // namespace

Status drop_touched_directories(const std::string& upper, const std::vector<std::string>& lowers) {
  return Dropper(upper, lowers).directory("").status();
}

}  // namespace kiln::store
