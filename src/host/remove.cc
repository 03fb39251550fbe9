#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "host/fs.h"

namespace kiln::host {

namespace {

// Deeper than this, directories are first moved to the top: descriptors and stack stay few, however
// deep a step has nested.
constexpr int kDepthMax = 128;

struct Removal {
  int top = AT_FDCWD;  // the directory whose contents go
  int depth = 0;
  std::uint64_t* moved = nullptr;  // so far, for names
};

Status remove_entry(int dir, const std::string& name, Removal at, std::stop_token stop);

Status remove_contents(Fd dir, Removal at, std::stop_token stop) {
  if (at.top == AT_FDCWD) at.top = dir.get();
  ++at.depth;
  DIR* stream = ::fdopendir(dir.get());
  if (!stream) return errno_error(errno, "list a directory to remove");
  dir.release();
  Status status;
  while (struct dirent* entry = ::readdir(stream)) {
    std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    // The kind that readdir tells saves a failing unlink a directory.
    bool directory = entry->d_type == DT_DIR;
    if (!directory && ::unlinkat(::dirfd(stream), entry->d_name, 0) == 0) continue;
    if (!directory && errno == ENOENT) continue;
    if (directory && at.depth >= kDepthMax) {
      std::string place = fmt::format(".kiln-removed-{}", (*at.moved)++);
      if (::renameat(::dirfd(stream), entry->d_name, at.top, place.c_str()) == 0) continue;
    }
    status = remove_entry(::dirfd(stream), entry->d_name, at, stop);
    if (!status.ok()) break;
  }
  ::closedir(stream);
  return status;
}

Status remove_entry(int dir, const std::string& name, Removal at, std::stop_token stop) {
  if (stop.stop_requested()) return cancelled();
  if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT || errno == ENOTDIR) return ok();
  if (errno != EISDIR && errno != EPERM) return errno_error(errno, fmt::format("remove '{}'", name));
  if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return ok();
  if (errno != ENOTEMPTY && errno != EEXIST) return errno_error(errno, fmt::format("remove '{}'", name));
  Result<Fd> below = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!below.ok() && errno_of(below.status()) == EACCES) {
    ::fchmodat(dir, name.c_str(), 0700, 0);  // ours but closed to us: an unprivileged daemon
    below = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }
  if (!below.ok()) return below.status();
  KILN_RETURN_IF_ERROR(remove_contents(std::move(*below), at, stop));
  if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return ok();
  return errno_error(errno, fmt::format("remove '{}'", name));
}

}  // namespace

Status remove_all(const std::string& path, std::stop_token stop) { return remove_all_at(AT_FDCWD, path, stop); }

Status remove_all_at(int dir, const std::string& name, std::stop_token stop) {
  std::uint64_t moved = 0, before = 0;
  for (;; before = moved) {
    Status status = remove_entry(dir, name, {.moved = &moved}, stop);
    if (status.ok() || moved == before || errno_of(status) != ENOTEMPTY) return status;
  }
}

}  // namespace kiln::host
