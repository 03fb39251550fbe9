#include "layer/apply.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>
#include <unordered_set>

#include "base/log.h"
#include "host/fs.h"
#include "layer/internal/tree_paths.h"
#include "layer/tar_reader.h"

namespace kiln::layer {
namespace {

using internal::ParentFolders;
using internal::PathParts;

constexpr std::string_view kWhiteoutMetaPrefix = ".wh..wh.";  // aufs's own files

Status hostile(const TarEntry& entry, std::string_view why) {
  return peer_error(Code::kFailedPrecondition, fmt::format("layer entry '{}' {}", entry.name, why));
}

Status failed(int error, std::string_view what, const TarEntry& entry) {
  return errno_error(error, fmt::format("{} '{}'", what, entry.name));
}

class Unpacking {
 public:
  Unpacking(TarReader& tar, int root, const ApplyOptions& options, std::stop_token stop)
      : tar_(tar), root_(root), options_(options), stop_(stop), folders_(root, options.lowers) {}

  Result<ApplyReport> run() {
    while (true) {
      if (stop_.stop_requested()) return cancelled();
      KILN_ASSIGN_OR_RETURN(const TarEntry* entry, tar_.next());
      if (!entry) break;
      KILN_RETURN_IF_ERROR(one(*entry));
    }
    KILN_RETURN_IF_ERROR(set_folder_times());
    return report_;
  }

 private:
  Status one(const TarEntry& entry);
  Status whiteout(const TarEntry& entry, int parent, const PathParts& parts);
  Status opaque(int parent, const std::string& folder);
  Status remove_lower_content(int parent, const std::string& folder);
  Result<bool> clear_the_way(const TarEntry& entry, int parent, const PathParts& parts);
  Status make(const TarEntry& entry, int parent, const PathParts& parts);
  Status check_size(const TarEntry& entry) const;
  Status make_file(const TarEntry& entry, int parent, const std::string& base);
  Status make_folder(const TarEntry& entry, int parent, const std::string& base);
  Status make_node(const TarEntry& entry, int parent, const std::string& base);
  Status make_link(const TarEntry& entry, int parent, const PathParts& parts);
  Status copy_up(const TarEntry& entry, const PathParts& target);
  Status finish_node(const TarEntry& entry, int parent, const std::string& base);
  Status set_xattrs(const TarEntry& entry, int fd, const std::string& path);
  Status set_folder_times();
  const char* opaque_name() const {
    return options_.user_xattr_opaque ? "user.overlay.opaque" : "trusted.overlay.opaque";
  }
  uid_t uid(const TarEntry& e) const {
    std::uint32_t id = options_.owner_uid.value_or(e.uid);
    return options_.map_uid ? options_.map_uid(id) : id;
  }
  gid_t gid(const TarEntry& e) const {
    std::uint32_t id = options_.owner_gid.value_or(e.gid);
    return options_.map_gid ? options_.map_gid(id) : id;
  }
  // Archives that are no layers are unpacked as in a chroot.
  internal::Climb climb() const {
    return options_.whiteouts ? internal::Climb::kRefused : internal::Climb::kStaysAtRoot;
  }
  bool overlay() const { return options_.target == ApplyTarget::kOverlayUpper; }

  TarReader& tar_;
  int root_;
  const ApplyOptions& options_;
  std::stop_token stop_;
  ParentFolders folders_;
  ApplyReport report_;
  std::unordered_map<std::string, FileTime> folder_times_;
  std::unordered_set<std::string> unpacked_;  // of this layer; only when whiteouts delete
};

timespec spec_of(const FileTime& time) { return {time.seconds, time.nanoseconds}; }

Status Unpacking::one(const TarEntry& entry) {
  auto path = internal::clean_path(entry.name, climb());
  if (!path) return hostile(entry, "leaves the root");
  if (path->empty()) return ok();  // the root itself keeps its attributes
  if (options_.accept && !options_.accept(*path, entry)) return ok();
  PathParts parts = internal::part_path(*path);
  if (options_.whiteouts && parts.base.starts_with(kWhiteoutMetaPrefix) && parts.base != kOpaqueMarker) return ok();
  auto parent = folders_.open(parts.parent);
  if (!parent.ok()) {
    if (errno_of(parent.status()) == ENOTDIR || errno_of(parent.status()) == ELOOP) {
      return hostile(entry, "stands below something that is no directory");
    }
    return annotate(parent.status(), fmt::format("layer entry '{}'", entry.name));
  }
  ++report_.entries;
  if (options_.whiteouts && parts.base.starts_with(kWhiteoutPrefix)) return whiteout(entry, *parent, parts);
  if (options_.whiteouts && !overlay()) unpacked_.insert(*path);
  KILN_ASSIGN_OR_RETURN(bool was_whiteout, clear_the_way(entry, *parent, parts));
  KILN_ASSIGN_OR_RETURN(int folder, folders_.open(parts.parent));  // anew: it may have been forgotten
  KILN_RETURN_IF_ERROR(make(entry, folder, parts));
  if (was_whiteout && entry.type == EntryType::kDirectory) KILN_RETURN_IF_ERROR(opaque(folder, parts.base));
  if (entry.type == EntryType::kDirectory) folder_times_[*path] = entry.mtime;
  return ok();
}

Status Unpacking::whiteout(const TarEntry& entry, int parent, const PathParts& parts) {
  if (parts.base == kOpaqueMarker) {
    if (overlay()) return opaque(parent, "");
    return remove_lower_content(parent, parts.parent);
  }
  std::string hidden = parts.base.substr(sizeof kWhiteoutPrefix - 1);
  if (hidden.empty() || hidden == "." || hidden == "..") return hostile(entry, "is a whiteout of nothing");
  if (!overlay()) {
    std::string path = parts.parent.empty() ? hidden : parts.parent + "/" + hidden;
    if (unpacked_.contains(path)) return ok();  // whiteouts speak of the layers below only
    struct stat st {};
    bool may_be_parent = ::fstatat(parent, hidden.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode);
    KILN_RETURN_IF_ERROR(host::remove_all_at(parent, hidden, stop_));
    if (may_be_parent) folders_.forget();
    return ok();
  }
  if (::mknodat(parent, hidden.c_str(), S_IFCHR, 0) == 0) return ok();
  if (errno != EEXIST) return failed(errno, "make whiteout", entry);
  struct stat st {};
  if (::fstatat(parent, hidden.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
    return opaque(parent, hidden);
  return ok();  // this layer's own file hides the lower one already
}

// Marks parent/folder (parent itself when folder is empty).
Status Unpacking::opaque(int parent, const std::string& folder) {
  std::string path = host::fd_path(parent) + (folder.empty() ? "/." : "/" + folder);
  if (::setxattr(path.c_str(), opaque_name(), "y", 1, 0) == 0) return ok();
  return errno_error(errno, fmt::format("mark '{}' opaque", folder));
}

Status Unpacking::remove_lower_content(int parent, const std::string& folder) {
  host::Fd fd(::openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return errno_error(errno, fmt::format("open folder '{}'", folder));
  KILN_ASSIGN_OR_RETURN(auto names, host::list_dir(fd.get()));
  folders_.forget();
  for (const std::string& name : names) {
    std::string path = folder.empty() ? name : folder + "/" + name;
    if (!unpacked_.contains(path)) {
      KILN_RETURN_IF_ERROR(host::remove_all_at(fd.get(), name, stop_));
      continue;
    }
    struct stat st {};
    if (::fstatat(fd.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) continue;
    KILN_ASSIGN_OR_RETURN(host::Fd child, host::open_at(fd.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    KILN_RETURN_IF_ERROR(remove_lower_content(child.get(), path));
  }
  return ok();
}

// Removes what stands where the entry goes, but a directory where a directory goes. True when that
// was a whiteout.
Result<bool> Unpacking::clear_the_way(const TarEntry& entry, int parent, const PathParts& parts) {
  struct stat st {};
  if (::fstatat(parent, parts.base.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return failed(errno, "stat", entry);
  }
  if (S_ISDIR(st.st_mode) && entry.type == EntryType::kDirectory) return false;
  if (S_ISDIR(st.st_mode)) {
    KILN_RETURN_IF_ERROR(host::remove_all_at(parent, parts.base, stop_));
    folders_.forget();
    return false;
  }
  if (::unlinkat(parent, parts.base.c_str(), 0) != 0) return failed(errno, "replace", entry);
  if (S_ISLNK(st.st_mode)) folders_.forget();
  return S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

Status Unpacking::make(const TarEntry& entry, int parent, const PathParts& parts) {
  switch (entry.type) {
    case EntryType::kFile: return make_file(entry, parent, parts.base);
    case EntryType::kDirectory: return make_folder(entry, parent, parts.base);
    case EntryType::kHardLink: return make_link(entry, parent, parts);
    case EntryType::kSymlink:
      if (entry.link.empty() || entry.link.find('\0') != std::string::npos) return hostile(entry, "links to nothing");
      if (::symlinkat(entry.link.c_str(), parent, parts.base.c_str()) != 0) return failed(errno, "symlink", entry);
      return finish_node(entry, parent, parts.base);
    case EntryType::kCharDevice:
    case EntryType::kBlockDevice:
    case EntryType::kFifo: return make_node(entry, parent, parts.base);
  }
  return ok();
}

Status Unpacking::check_size(const TarEntry& entry) const {
  const std::uint64_t left = options_.bytes_max - std::min(options_.bytes_max, report_.bytes);
  if (options_.bytes_max == 0 || entry.size <= left) return ok();
  return peer_error(
      Code::kResourceExhausted,
      fmt::format("layer entry '{}' of {} bytes goes beyond the {} bytes that one layer may unpack to; raise "
                  "'maxLayerSize' under [worker.oci] if the layer is meant to be so large",
                  entry.name, entry.size, options_.bytes_max));
}

Status Unpacking::make_file(const TarEntry& entry, int parent, const std::string& base) {
  KILN_RETURN_IF_ERROR(check_size(entry));
  host::Fd fd(::openat(parent, base.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return failed(errno, "create", entry);
  while (true) {
    KILN_ASSIGN_OR_RETURN(std::string_view piece, tar_.read_piece());
    if (piece.empty()) break;
    if (stop_.stop_requested()) return cancelled();
    if (Status status = host::write_all(fd.get(), piece); !status.ok()) {
      return failed(errno_of(status).value_or(EIO), "write", entry);
    }
    report_.bytes += piece.size();
  }
  if (options_.keep_owner && ::fchown(fd.get(), uid(entry), gid(entry)) != 0) return failed(errno, "chown", entry);
  if (::fchmod(fd.get(), entry.mode) != 0) return failed(errno, "chmod", entry);
  if (!entry.xattrs.empty()) KILN_RETURN_IF_ERROR(set_xattrs(entry, fd.get(), ""));
  timespec times[2] = {spec_of(entry.mtime), spec_of(entry.mtime)};
  if (::futimens(fd.get(), times) != 0) return failed(errno, "set time of", entry);
  return ok();
}

Status Unpacking::make_folder(const TarEntry& entry, int parent, const std::string& base) {
  if (::mkdirat(parent, base.c_str(), 0700) != 0 && errno != EEXIST) return failed(errno, "make folder", entry);
  return finish_node(entry, parent, base);
}

Status Unpacking::make_node(const TarEntry& entry, int parent, const std::string& base) {
  mode_t kind = entry.type == EntryType::kFifo ? S_IFIFO : entry.type == EntryType::kCharDevice ? S_IFCHR : S_IFBLK;
  if (::mknodat(parent, base.c_str(), kind | 0600, makedev(entry.dev_major, entry.dev_minor)) != 0) {
    if (errno == EPERM && kind != S_IFIFO && options_.skip_forbidden_devices) return ok();
    return failed(errno, "make device", entry);
  }
  return finish_node(entry, parent, base);
}

Status Unpacking::make_link(const TarEntry& entry, int parent, const PathParts& place) {
  auto target = internal::clean_path(entry.link, climb());
  if (!target || target->empty())
    return hostile(entry, fmt::format("is a hard link to '{}' outside the root", entry.link));
  PathParts parts = internal::part_path(*target);
  auto target_parent = internal::open_below(root_, parts.parent, O_PATH | O_DIRECTORY);
  if (target_parent.ok() && ::linkat(target_parent->get(), parts.base.c_str(), parent, place.base.c_str(), 0) == 0)
    return ok();
  int error = target_parent.ok() ? errno : errno_of(target_parent.status()).value_or(EIO);
  if (error == ENOENT && !options_.lowers.empty()) {
    KILN_RETURN_IF_ERROR(copy_up(entry, parts));
    KILN_ASSIGN_OR_RETURN(int folder, folders_.open(place.parent));
    target_parent = internal::open_below(root_, parts.parent, O_PATH | O_DIRECTORY);
    KILN_RETURN_IF_ERROR(target_parent.status());
    if (::linkat(target_parent->get(), parts.base.c_str(), folder, place.base.c_str(), 0) == 0) return ok();
    error = errno;
  }
  if (error == EPERM || error == ENOENT)
    return hostile(entry, fmt::format("is a hard link to '{}', which is no file", entry.link));
  return failed(error, "link", entry);
}

// Brings a lower file into the upper dir, so that a link to it can be made there.
Status Unpacking::copy_up(const TarEntry& entry, const PathParts& target) {
  std::string path = target.parent.empty() ? target.base : target.parent + "/" + target.base;
  for (const std::string& lower : options_.lowers) {
    host::Fd lower_root(::open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto from = internal::open_below(lower_root.get(), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat st {};
    if (!from.ok() || ::fstat(from->get(), &st) != 0) continue;
    if (!S_ISREG(st.st_mode)) break;
    KILN_ASSIGN_OR_RETURN(int parent, folders_.open(target.parent));
    host::Fd to(::openat(parent, target.base.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!to.valid()) return failed(errno, "copy up the target of", entry);
    KILN_RETURN_IF_ERROR(host::copy_contents(from->get(), to.get(), static_cast<std::uint64_t>(st.st_size), stop_));
    KILN_ASSIGN_OR_RETURN(auto xattrs, host::xattrs_of(from->get()));
    if (::fchown(to.get(), st.st_uid, st.st_gid) != 0) return failed(errno, "chown", entry);
    if (::fchmod(to.get(), st.st_mode & 07777) != 0) return failed(errno, "chmod", entry);
    for (const auto& [name, value] : xattrs) ::fsetxattr(to.get(), name.c_str(), value.data(), value.size(), 0);
    timespec times[2] = {st.st_mtim, st.st_mtim};
    ::futimens(to.get(), times);
    return ok();
  }
  return hostile(entry, fmt::format("is a hard link to '{}', which does not exist", entry.link));
}

Status Unpacking::finish_node(const TarEntry& entry, int parent, const std::string& base) {
  if (options_.keep_owner && ::fchownat(parent, base.c_str(), uid(entry), gid(entry), AT_SYMLINK_NOFOLLOW) != 0) {
    return failed(errno, "chown", entry);
  }
  if (entry.type != EntryType::kSymlink && ::fchmodat(parent, base.c_str(), entry.mode, 0) != 0) {
    return failed(errno, "chmod", entry);
  }
  if (!entry.xattrs.empty())
    KILN_RETURN_IF_ERROR(set_xattrs(entry, -1, fmt::format("{}/{}", host::fd_path(parent), base)));
  if (entry.type == EntryType::kDirectory) return ok();  // its time is set when all is in it
  timespec times[2] = {spec_of(entry.mtime), spec_of(entry.mtime)};
  if (::utimensat(parent, base.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return failed(errno, "set time of", entry);
  return ok();
}

Status Unpacking::set_xattrs(const TarEntry& entry, int fd, const std::string& path) {
  for (const auto& [name, value] : entry.xattrs) {
    // The overlay's own marks would let a layer redirect lookups.
    if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")) continue;
    int result = fd >= 0 ? ::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0)
                         : ::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0);
    if (result == 0) continue;
    bool must = name == "security.capability" && ::geteuid() == 0 && errno != ENOTSUP;
    if (must || errno == ENOSPC || errno == EDQUOT) return failed(errno, fmt::format("set {} of", name), entry);
    log_debug("xattr {} of '{}' left out: errno {}", name, entry.name, errno);
  }
  return ok();
}

Status Unpacking::set_folder_times() {
  for (const auto& [path, time] : folders_.taken_times())
    folder_times_.try_emplace(path, FileTime{time.tv_sec, static_cast<std::int32_t>(time.tv_nsec)});
  for (const auto& [path, time] : folder_times_) {
    auto fd = internal::open_below(root_, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!fd.ok()) continue;  // a later member or whiteout took it away
    timespec times[2] = {spec_of(time), spec_of(time)};
    if (::futimens(fd->get(), times) != 0) return errno_error(errno, fmt::format("set time of '{}'", path));
  }
  return ok();
}

}  // namespace

Result<ApplyReport> apply_layer(ByteSource& tar, const std::string& root, const ApplyOptions& options,
                                std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(host::Fd root_fd, host::open_file(root, O_PATH | O_DIRECTORY));
  TarReader reader(tar);
  Unpacking unpacking(reader, root_fd.get(), options, stop);
  KILN_ASSIGN_OR_RETURN(ApplyReport report, unpacking.run());
  KILN_RETURN_IF_ERROR(reader.drain());
  return report;
}

}  // namespace kiln::layer
