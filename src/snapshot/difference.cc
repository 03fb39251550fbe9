#include "snapshot/difference.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include "host/fs.h"
#include "host/tree_copy.h"
#include "snapshot/internal/same_entry.h"

namespace kiln::snapshot {

namespace {

using host::Fd;

// One comparison of two trees, writing what differs.
class Comparison {
 public:
  Comparison(int out_root, std::stop_token stop) : copy_(out_root, options_, stop), stop_(stop) {}

  // `made` tells whether the directory `out` exists already; it is made when the first change below
  // is found. Any of the directories may be absent (an invalid descriptor).
  Status directory(int lower, int upper, const std::string& path, const std::function<Result<int>()>& out) {
    std::vector<std::string> below, above;
    if (lower >= 0) {
      KILN_ASSIGN_OR_RETURN(below, host::list_dir(lower));
    }
    KILN_ASSIGN_OR_RETURN(above, host::list_dir(upper));
    auto b = below.begin();
    auto a = above.begin();
    while (b != below.end() || a != above.end()) {
      if (stop_.stop_requested()) return cancelled();
      if (a == above.end() || (b != below.end() && *b < *a)) {
        KILN_ASSIGN_OR_RETURN(int to, out());
        if (::mknodat(to, b->c_str(), S_IFCHR, makedev(0, 0)) != 0) return errno_error(errno, "mark what was removed");
        ++b;
        continue;
      }
      bool both = b != below.end() && *b == *a;
      std::string at = path.empty() ? *a : path + "/" + *a;
      if (Status status = entry(both ? lower : -1, upper, *a, at, out); !status.ok()) {
        return is_cancelled(status) ? status : annotate(status, fmt::format("compare '{}'", at));
      }
      ++a;
      if (both) ++b;
    }
    return ok();
  }

 private:
  Status entry(int lower, int upper, const std::string& name, const std::string& path,
               const std::function<Result<int>()>& out) {
    struct stat above, below;
    if (::fstatat(upper, name.c_str(), &above, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "stat");
    if (S_ISSOCK(above.st_mode)) return ok();
    bool known = lower >= 0 && ::fstatat(lower, name.c_str(), &below, AT_SYMLINK_NOFOLLOW) == 0;
    bool dirs = known && S_ISDIR(above.st_mode) && S_ISDIR(below.st_mode);
    bool same = false;
    if (known) {
      KILN_ASSIGN_OR_RETURN(same, same_entry(lower, below, upper, above, name));
    }
    if (same && !dirs) return ok();
    if (!dirs) {
      KILN_ASSIGN_OR_RETURN(int to, out());
      if (!S_ISDIR(above.st_mode)) return copy_.entry(upper, to, name, path);
      KILN_RETURN_IF_ERROR(copy_.entry(upper, to, name, path));
      if (!known) return ok();
      // A directory where a file was: nothing of below may shine through.
      return host::set_xattr(fmt::format("{}/{}", host::fd_path(to), name), "trusted.overlay.opaque", "y");
    }
    return both_directories(lower, upper, name, path, above, same, out);
  }

  Status both_directories(int lower, int upper, const std::string& name, const std::string& path,
                          const struct stat& above, bool same, const std::function<Result<int>()>& out) {
    KILN_ASSIGN_OR_RETURN(Fd from_below, host::open_at(lower, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    KILN_ASSIGN_OR_RETURN(Fd from_above, host::open_at(upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    Fd made;
    int to = -1;
    auto make = [&]() -> Result<int> {
      if (made.valid()) return made.get();
      KILN_ASSIGN_OR_RETURN(to, out());
      if (::mkdirat(to, name.c_str(), 0700) != 0) return errno_error(errno, "mkdir");
      KILN_ASSIGN_OR_RETURN(made, host::open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      return made.get();
    };
    if (!same) KILN_RETURN_IF_ERROR(make().status());
    KILN_RETURN_IF_ERROR(directory(from_below.get(), from_above.get(), path, make));
    return made.valid() ? copy_.attributes(upper, to, name, above) : ok();
  }

  host::CopyOptions options_;
  host::TreeCopy copy_;
  std::stop_token stop_;
};

}  // namespace

Status write_difference(const std::string& lower, const std::string& upper, const std::string& out,
                        std::stop_token stop) {
  Fd below;
  if (!lower.empty()) {
    KILN_ASSIGN_OR_RETURN(below, host::open_file(lower, O_RDONLY | O_DIRECTORY));
  }
  KILN_ASSIGN_OR_RETURN(Fd above, host::open_file(upper, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(Fd to, host::open_file(out, O_RDONLY | O_DIRECTORY));
  Comparison comparison(to.get(), stop);
  KILN_RETURN_IF_ERROR(comparison.directory(below.get(), above.get(), "", [&]() -> Result<int> { return to.get(); }));
  struct stat info;
  if (::fstat(above.get(), &info) != 0) return errno_error(errno, "stat");
  host::CopyOptions options;
  return host::TreeCopy(to.get(), options, stop).attributes(above.get(), to.get(), ".", info);
}

}  // namespace kiln::snapshot
