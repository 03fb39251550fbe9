// An overlay directory made fit to be stacked on trees that it was not made on.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "host/fs.h"
#include "host/tree_copy.h"
#include "snapshot/difference.h"
#include "snapshot/internal/same_entry.h"

namespace kiln::snapshot {
namespace {

using host::Fd;
constexpr const char* kOpaque = "trusted.overlay.opaque";

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0); }

bool has(const std::vector<std::string>& sorted, const std::string& name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

Result<Fd> open_folder(int at, const std::string& name) {
  return host::open_at(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// One walk through the overlay directory, beside the tree that it was made on. Without a place to write
// to, it only tells whether the writing would give something else.
class Loosening {
 public:
  using Place = std::function<Result<int>()>;  // the directory to write to, made when first asked for

  Loosening(int out_root, std::stop_token stop)
      : writes_(out_root >= 0), copy_(out_root, options_, stop), stop_(stop) {}
  bool changes() const { return changes_; }

  // `hidden`: nothing of `lower` (-1: there is none) shines through `upper`.
  Status directory(int lower, int upper, bool hidden, const std::string& path, const Place& out) {
    std::vector<std::string> below, above;
    if (lower >= 0) {
      KILN_ASSIGN_OR_RETURN(below, host::list_dir(lower));
      std::sort(below.begin(), below.end());
    }
    KILN_ASSIGN_OR_RETURN(above, host::list_dir(upper));
    std::sort(above.begin(), above.end());
    for (const std::string& name : above) {
      if (stop_.stop_requested()) return cancelled();
      if (changes_ && !writes_) return ok();
      KILN_RETURN_IF_ERROR(
          entry(has(below, name) ? lower : -1, upper, hidden, name, path.empty() ? name : path + "/" + name, out));
    }
    for (const std::string& name : below) {
      if (hidden && !has(above, name)) KILN_RETURN_IF_ERROR(take_away(name, out));
    }
    return ok();
  }

 private:
  Status entry(int lower, int upper, bool hidden, const std::string& name, const std::string& path, const Place& out) {
    struct stat above, below{};
    if (::fstatat(upper, name.c_str(), &above, AT_SYMLINK_NOFOLLOW) != 0) return errno_error(errno, "stat");
    const bool known = lower >= 0 && ::fstatat(lower, name.c_str(), &below, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_whiteout(above)) {
      if (known) return take_away(name, out);
      changes_ = true;  // it takes away what was not there
      return ok();
    }
    bool same = false;
    if (known) {
      KILN_ASSIGN_OR_RETURN(same, same_entry(lower, below, upper, above, name));
    }
    if (S_ISDIR(above.st_mode)) {
      return folder(known && S_ISDIR(below.st_mode) ? lower : -1, upper, hidden, same, name, path, above, out);
    }
    if (same) {
      changes_ = true;  // moved away and back
      return ok();
    }
    if (!writes_) return ok();
    KILN_ASSIGN_OR_RETURN(int to, out());
    if (::linkat(upper, name.c_str(), to, name.c_str(), 0) == 0) return ok();
    if (errno != EXDEV && errno != EMLINK) return errno_error(errno, fmt::format("link '{}'", path));
    return copy_.entry(upper, to, name, path);
  }

  Status folder(int lower, int upper, bool hidden, bool same, const std::string& name, const std::string& path,
                const struct stat& above, const Place& out) {
    Fd from_below, made;
    if (lower >= 0) {
      KILN_ASSIGN_OR_RETURN(from_below, open_folder(lower, name));
    }
    KILN_ASSIGN_OR_RETURN(Fd from_above, open_folder(upper, name));
    char value[2];
    const bool opaque = ::fgetxattr(from_above.get(), kOpaque, value, sizeof value) == 1 && value[0] == 'y';
    changes_ = changes_ || opaque;
    if (same && !writes_) {
      KILN_ASSIGN_OR_RETURN(std::vector<std::string> inside, host::list_dir(from_above.get()));
      changes_ = changes_ || inside.empty();  // it was only touched
    }
    int to = -1;
    const Place make = [&]() -> Result<int> {
      if (made.valid()) return made.get();
      KILN_ASSIGN_OR_RETURN(to, out());
      if (::mkdirat(to, name.c_str(), 0700) != 0) return errno_error(errno, "mkdir");
      KILN_ASSIGN_OR_RETURN(made, open_folder(to, name));
      return made.get();
    };
    if (writes_ && !same) KILN_RETURN_IF_ERROR(make().status());
    KILN_RETURN_IF_ERROR(directory(from_below.get(), from_above.get(), hidden || opaque, path, make));
    if (!made.valid()) return ok();
    KILN_RETURN_IF_ERROR(copy_.attributes(upper, to, name, above));
    (void)::fremovexattr(made.get(), kOpaque);
    return ok();
  }

  Status take_away(const std::string& name, const Place& out) {
    if (!writes_) return ok();
    KILN_ASSIGN_OR_RETURN(int to, out());
    return ::mknodat(to, name.c_str(), S_IFCHR, makedev(0, 0)) == 0 ? ok()
                                                                    : errno_error(errno, "mark what was removed");
  }

  bool writes_;
  bool changes_ = false;
  host::CopyOptions options_;
  host::TreeCopy copy_;
  std::stop_token stop_;
};

}  // namespace

Result<bool> loose_difference_differs(const std::string& lower, const std::string& upper, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Fd below, host::open_file(lower, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(Fd above, host::open_file(upper, O_RDONLY | O_DIRECTORY));
  Loosening walk(-1, stop);
  KILN_RETURN_IF_ERROR(walk.directory(below.get(), above.get(), false, "", nullptr));
  return walk.changes();
}

Status write_loose_difference(const std::string& lower, const std::string& upper, const std::string& out,
                              std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(Fd below, host::open_file(lower, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(Fd above, host::open_file(upper, O_RDONLY | O_DIRECTORY));
  KILN_ASSIGN_OR_RETURN(Fd to, host::open_file(out, O_RDONLY | O_DIRECTORY));
  KILN_RETURN_IF_ERROR(Loosening(to.get(), stop).directory(below.get(), above.get(), false, "", [&]() -> Result<int> {
    return to.get();
  }));
  struct stat info;
  if (::fstat(above.get(), &info) != 0) return errno_error(errno, "stat");
  return host::TreeCopy(to.get(), {}, stop).attributes(above.get(), to.get(), ".", info);
}

}  // namespace kiln::snapshot
