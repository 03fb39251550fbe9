#include "op/copied_attributes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "host/fs.h"

namespace kiln::op {
namespace {

std::string absolute(std::string_view relative) { return fmt::format("/{}", relative); }

// Best effort, as a file system may not take them. Overlay's own are not the tree's.
template <typename File>
void set_xattrs(const host::Xattrs& xattrs, const File& file) {
  for (const auto& [key, value] : xattrs) {
    if (key.starts_with("trusted.overlay.") || key.starts_with("user.overlay.")) continue;
    host::set_xattr(file, key, value).IgnoreError();
  }
}

void fill_times(std::int64_t stamp, const struct stat& info, struct timespec (&times)[2]) {
  times[0] = info.st_atim;
  times[1] = info.st_mtim;
  if (stamp == -1) return;
  std::int64_t seconds = stamp / 1'000'000'000, rest = stamp % 1'000'000'000;
  if (rest < 0) {
    --seconds;
    rest += 1'000'000'000;
  }
  times[0] = times[1] = {seconds, rest};
}

}  // namespace

Owner CopiedAttributes::owner_of(const struct stat& info) const {
  return stamp.owner.value_or(Owner{info.st_uid, info.st_gid});
}

mode_t CopiedAttributes::mode_of(const struct stat& info) const {
  if (change) return change->apply(info.st_mode);
  return (mode != -1 ? static_cast<mode_t>(mode) : info.st_mode) & 07777;
}

Status CopiedAttributes::give(int to, const std::string& name, int from, const std::string& from_name,
                              const struct stat& info) const {
  const Owner owner = owner_of(info);
  if (::fchownat(to, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return annotate(go_error(errno, "lchown", name), "failed to copy file info");
  }
  if (!S_ISLNK(info.st_mode) && ::fchmodat(to, name.c_str(), mode_of(info), 0) != 0) {
    return annotate(go_error(errno, "chmod", name), "failed to copy file info");
  }
  Result<host::Xattrs> xattrs = host::xattrs_of(fmt::format("{}/{}", host::fd_path(from), from_name));
  if (xattrs.ok()) set_xattrs(*xattrs, fmt::format("{}/{}", host::fd_path(to), name));
  return give_times(to, name, info);
}

Status CopiedAttributes::give_to_new(int out, int in, const std::string& target, const struct stat& info,
                                     const host::NewFiles& created) const {
  const Owner owner = owner_of(info);
  if (!created.has_owner(owner.uid, owner.gid) && ::fchown(out, owner.uid, owner.gid) != 0) {
    return go_error(errno, "lchown", absolute(target));
  }
  // A change of the owner takes set-id bits away, so the mode comes after it.
  if (!created.has_mode(mode_of(info)) && ::fchmod(out, mode_of(info)) != 0) {
    return go_error(errno, "chmod", absolute(target));
  }
  Result<host::Xattrs> xattrs = host::xattrs_of(in);
  if (xattrs.ok()) set_xattrs(*xattrs, out);
  struct timespec times[2];
  fill_times(stamp.timestamp, info, times);
  if (::futimens(out, times) != 0) return go_error(errno, "failed to utime", absolute(target));
  return ok();
}

Status CopiedAttributes::give_times(int dir, const std::string& name, const struct stat& info) const {
  struct timespec times[2];
  fill_times(stamp.timestamp, info, times);
  if (::utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) return ok();
  return annotate(go_error(errno, "failed to utime", absolute(name)), "failed to restore file timestamp");
}

}  // namespace kiln::op
