// Several overlay directories as one, by hard links.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "host/fs.h"
#include "host/tree_copy.h"
#include "snapshot/internal/stacks.h"

namespace kiln::snapshot {
namespace {

using host::Fd;

Result<Fd> open_folder(int at, const std::string& name) {
  return host::open_at(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// Takes the layers from the top down, so that nothing is written that a higher one hides. In a directory
// that is there already only what is missing is added; a directory that hides what lies below (it is
// opaque, or stands where a lower layer has or removes a file) is not entered by lower layers.
class Stacking {
 public:
  Stacking(int out_root, const char* opaque) : opaque_(opaque), copy_(out_root, options_, {}) {}

  Status layer(int from, int to, bool first) {
    KILN_RETURN_IF_ERROR(directory(from, to, "", first ? Made::kNow : Made::kBefore));
    if (!first) return ok();
    struct stat info;
    if (::fstat(from, &info) != 0) return errno_error(errno, "stat");
    return copy_.attributes(from, to, ".", info);
  }

 private:
  enum class Made { kNow, kBefore };

  Status directory(int from, int to, const std::string& path, Made made) {
    struct stat before;
    if (::fstat(to, &before) != 0) return errno_error(errno, "stat");
    KILN_ASSIGN_OR_RETURN(std::vector<std::string> names, host::list_dir(from));
    for (const std::string& name : names) {
      struct stat info, above;
      if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "stat");
      const bool there = made == Made::kBefore && ::fstatat(to, name.c_str(), &above, AT_SYMLINK_NOFOLLOW) == 0;
      const std::string at = path.empty() ? name : path + "/" + name;
      if (!there) {
        KILN_RETURN_IF_ERROR(add(from, to, name, at, info));
      } else if (S_ISDIR(above.st_mode)) {
        KILN_RETURN_IF_ERROR(below(from, to, name, at, info));
      }
    }
    if (made == Made::kNow) return ok();  // whoever made it sets the times
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    return ::futimens(to, times) == 0 ? ok() : errno_error(errno, "set the time");
  }

  Status add(int from, int to, const std::string& name, const std::string& path, const struct stat& info) {
    if (!S_ISDIR(info.st_mode)) {
      if (::linkat(from, name.c_str(), to, name.c_str(), 0) == 0) return ok();
      if (errno != EXDEV && errno != EMLINK) return errno_error(errno, fmt::format("link '{}'", path));
      return copy_.entry(from, to, name, path);
    }
    if (::mkdirat(to, name.c_str(), 0700) != 0) return errno_error(errno, fmt::format("make '{}'", path));
    KILN_ASSIGN_OR_RETURN(Fd inside, open_folder(from, name));
    KILN_ASSIGN_OR_RETURN(Fd out, open_folder(to, name));
    KILN_RETURN_IF_ERROR(directory(inside.get(), out.get(), path, Made::kNow));
    return copy_.attributes(from, to, name, info);
  }

  // What a lower layer has where a higher one has a directory.
  Status below(int from, int to, const std::string& name, const std::string& path, const struct stat& info) {
    KILN_ASSIGN_OR_RETURN(Fd out, open_folder(to, name));
    if (is_opaque(out.get())) return ok();
    if (!S_ISDIR(info.st_mode)) return host::set_xattr(out.get(), opaque_, "y");
    KILN_ASSIGN_OR_RETURN(Fd inside, open_folder(from, name));
    KILN_RETURN_IF_ERROR(directory(inside.get(), out.get(), path, Made::kBefore));
    return is_opaque(inside.get()) ? host::set_xattr(out.get(), opaque_, "y") : ok();
  }

  bool is_opaque(int dir) const {
    char value[2];
    return ::fgetxattr(dir, opaque_, value, sizeof value) == 1 && value[0] == 'y';
  }

  const char* opaque_;
  host::CopyOptions options_;
  host::TreeCopy copy_;
};

}  // namespace

Status write_stack(const std::vector<std::string>& layers, const std::string& out, bool user_xattrs) {
  KILN_ASSIGN_OR_RETURN(Fd to, host::open_file(out, O_RDONLY | O_DIRECTORY));
  Stacking stacking(to.get(), user_xattrs ? "user.overlay.opaque" : "trusted.overlay.opaque");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    KILN_ASSIGN_OR_RETURN(Fd from, host::open_file(layers[i], O_RDONLY | O_DIRECTORY));
    KILN_RETURN_IF_ERROR(stacking.layer(from.get(), to.get(), i == 0));
  }
  return ok();
}

}  // namespace kiln::snapshot
