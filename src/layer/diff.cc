#include "layer/diff.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <unordered_map>

#include "host/fs.h"
#include "layer/internal/lower_trees.h"

namespace kiln::layer {
namespace {

using internal::Candidate;
using internal::LowerFolder;
using internal::TimeRule;

constexpr std::size_t kPieceBytes = 1 << 20;

// How a directory is compared with what lies below it.
enum class Mode {
  kAll,      // nothing below: everything is new
  kOverlay,  // an upper dir: what stands in it was touched, whiteouts are spelled out
  kWalk,     // a whole tree: names only found below are deletions
};

// A directory on the way down; written when the first of its members is, if it did not change itself.
struct Frame {
  const Frame* above;
  const std::string& path;  // "a/b"; "" for the root
  int parent_fd;
  std::string name;
  struct stat info;
  mutable bool written;
};

class Differ {
 public:
  Differ(TarWriter& writer, const DiffOptions& options, std::stop_token stop, bool have_lowers)
      : writer_(writer), options_(options), stop_(stop), have_lowers_(have_lowers), buffer_(kPieceBytes, '\0') {}

  Result<DiffReport> run(const std::string& root, LowerFolder lower, Mode mode) {
    KILN_ASSIGN_OR_RETURN(host::Fd fd, host::open_file(root, O_RDONLY | O_DIRECTORY));
    std::string path;
    Frame frame{nullptr, path, -1, "", {}, true};
    KILN_RETURN_IF_ERROR(folder(fd.get(), lower, mode, frame));
    return report_;
  }

 private:
  Status folder(int fd, const LowerFolder& lower, Mode mode, const Frame& frame);
  Status member(int fd, const std::string& name, const LowerFolder& lower, Mode mode, const Frame& frame);
  Status subfolder(int fd, const std::string& name, const std::string& path, const struct stat& info,
                   const LowerFolder& lower, Mode mode, const Frame& frame, bool written);
  Status deletion(const std::string& name, const Frame& frame);
  Status write_parents(const Frame& frame);
  Status write_entry(int fd, const std::string& name, const std::string& path, const struct stat& info);
  Status write_body(int fd, const TarEntry& entry);
  Status fill(TarEntry& entry, int fd, const std::string& name, const struct stat& info);
  Status read_xattrs(TarEntry& entry, int file, int folder, const std::string& name);
  Status link_to(const std::string& target, const std::string& path, const TarEntry& like);
  Status put(TarEntry& entry, bool& kept);

  static std::string join(const Frame& frame, std::string_view name) {
    return frame.path.empty() ? std::string(name) : fmt::format("{}/{}", frame.path, name);
  }

  using Inode = std::pair<dev_t, ino_t>;
  TarWriter& writer_;
  const DiffOptions& options_;
  std::stop_token stop_;
  bool have_lowers_;
  std::string buffer_;
  DiffReport report_;
  std::map<Inode, std::string> linked_;                  // written already, under this name
  std::map<Inode, std::vector<std::string>> unchanged_;  // unchanged names of a linked inode
};

Status Differ::folder(int fd, const LowerFolder& lower, Mode mode, const Frame& frame) {
  KILN_ASSIGN_OR_RETURN(auto names, host::list_dir(fd));
  if (mode != Mode::kWalk) {
    for (const auto& name : names) KILN_RETURN_IF_ERROR(member(fd, name, lower, mode, frame));
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(auto below, lower.names());
  auto old = below.begin();
  for (const auto& name : names) {
    for (; old != below.end() && *old < name; ++old) KILN_RETURN_IF_ERROR(deletion(*old, frame));
    if (old != below.end() && *old == name) {
      struct stat info {};
      bool gone =
          have_lowers_ && ::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && internal::is_whiteout(info);
      if (!gone) ++old;
    }
    KILN_RETURN_IF_ERROR(member(fd, name, lower, mode, frame));
  }
  for (; old != below.end(); ++old) KILN_RETURN_IF_ERROR(deletion(*old, frame));
  return ok();
}

Status Differ::member(int fd, const std::string& name, const LowerFolder& lower, Mode mode, const Frame& frame) {
  if (stop_.stop_requested()) return cancelled();
  struct stat info {};
  if (::fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(errno, fmt::format("stat '{}'", join(frame, name)));
  }
  bool from_upper_dir = mode == Mode::kOverlay || (mode == Mode::kWalk && have_lowers_);
  std::optional<LowerFolder::Found> below;
  if (!lower.empty()) {
    KILN_ASSIGN_OR_RETURN(below, lower.find(name));
  }
  if (from_upper_dir && internal::is_whiteout(info)) {
    if (mode == Mode::kWalk) return ok();  // inside an opaque directory it says nothing
    if (have_lowers_ && !below) return ok();
    return deletion(name, frame);
  }
  if (S_ISSOCK(info.st_mode)) return ok();
  std::string path = join(frame, name);
  bool same = false;
  if (below) {
    TimeRule rule = mode == Mode::kOverlay ? TimeRule::kBothWhole : TimeRule::kEitherWhole;
    KILN_ASSIGN_OR_RETURN(same, internal::same_entry({below->info, below->folder, name}, {info, fd, name}, rule));
  }
  bool is_folder = S_ISDIR(info.st_mode);
  if (same && !is_folder) {
    if (mode == Mode::kWalk && info.st_nlink > 1) {
      Inode inode{info.st_dev, info.st_ino};
      // A name of a file that another name changed belongs to the layer, as a link.
      if (linked_.contains(inode)) {
        KILN_RETURN_IF_ERROR(write_parents(frame));
        return write_entry(fd, name, path, info);
      }
      unchanged_[inode].push_back(path);
    }
    return ok();
  }
  if (!same) {
    KILN_RETURN_IF_ERROR(write_parents(frame));
    KILN_RETURN_IF_ERROR(write_entry(fd, name, path, info));
  }
  if (!is_folder) return ok();
  return subfolder(fd, name, path, info, lower, mode, frame, !same);
}

Status Differ::subfolder(int fd, const std::string& name, const std::string& path, const struct stat& info,
                         const LowerFolder& lower, Mode mode, const Frame& frame, bool written) {
  KILN_ASSIGN_OR_RETURN(host::Fd child, host::open_at(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  LowerFolder below;
  if (!lower.empty()) {
    KILN_ASSIGN_OR_RETURN(auto found, lower.find(name));
    if (found && S_ISDIR(found->info.st_mode)) {
      KILN_ASSIGN_OR_RETURN(below, lower.descend(name));
    }
  }
  Frame inner{&frame, path, fd, name, info, written};
  if (mode == Mode::kOverlay) {
    if (internal::is_redirected(child.get())) {
      return environment_error(
          Code::kFailedPrecondition,
          fmt::format("'{}' is a redirected overlay directory; mount overlays with redirect_dir=off", path));
    }
    if (internal::is_opaque(child.get())) {
      if (!below.empty()) mode = Mode::kWalk;
      if (!have_lowers_) {
        KILN_RETURN_IF_ERROR(write_parents(inner));
        TarEntry marker;
        marker.name = fmt::format("{}/{}", path, kOpaqueMarker);
        bool kept = true;
        KILN_RETURN_IF_ERROR(put(marker, kept));
      }
    }
  }
  return folder(child.get(), below, mode, inner);
}

Status Differ::deletion(const std::string& name, const Frame& frame) {
  KILN_RETURN_IF_ERROR(write_parents(frame));
  TarEntry entry;
  entry.name = join(frame, kWhiteoutPrefix + name);
  ++report_.whiteouts;
  bool kept = true;
  return put(entry, kept);
}

Status Differ::write_parents(const Frame& frame) {
  if (frame.written) return ok();
  KILN_RETURN_IF_ERROR(write_parents(*frame.above));
  frame.written = true;
  return write_entry(frame.parent_fd, frame.name, frame.path, frame.info);
}

Status Differ::fill(TarEntry& entry, int fd, const std::string& name, const struct stat& info) {
  entry.mode = info.st_mode & 07777;
  entry.uid = options_.map_uid ? options_.map_uid(info.st_uid) : info.st_uid;
  entry.gid = options_.map_gid ? options_.map_gid(info.st_gid) : info.st_gid;
  entry.mtime = {info.st_mtim.tv_sec, static_cast<std::int32_t>(info.st_mtim.tv_nsec)};
  if (options_.clamp_mtime && entry.mtime > *options_.clamp_mtime) entry.mtime = *options_.clamp_mtime;
  if (options_.whole_seconds) entry.mtime.nanoseconds = 0;
  switch (info.st_mode & S_IFMT) {
    case S_IFDIR:
      entry.type = EntryType::kDirectory;
      entry.name += '/';
      break;
    case S_IFLNK: {
      entry.type = EntryType::kSymlink;
      KILN_ASSIGN_OR_RETURN(entry.link, host::read_link_at(fd, name));
      break;
    }
    case S_IFCHR: entry.type = EntryType::kCharDevice; break;
    case S_IFBLK: entry.type = EntryType::kBlockDevice; break;
    case S_IFIFO: entry.type = EntryType::kFifo; break;
    default: entry.size = static_cast<std::uint64_t>(info.st_size); break;
  }
  if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    entry.dev_major = major(info.st_rdev);
    entry.dev_minor = minor(info.st_rdev);
  }
  return ok();
}

Status Differ::read_xattrs(TarEntry& entry, int file, int folder, const std::string& name) {
  if (options_.xattrs == XattrKeep::kNone) return ok();
  if (options_.xattrs == XattrKeep::kCapability) {
    if (file < 0) return ok();
    char value[64];
    ssize_t n = ::fgetxattr(file, "security.capability", value, sizeof value);
    if (n > 0) entry.xattrs["security.capability"] = std::string(value, static_cast<std::size_t>(n));
    return ok();
  }
  KILN_ASSIGN_OR_RETURN(
      auto all, file >= 0 ? host::xattrs_of(file) : host::xattrs_of(fmt::format("{}/{}", host::fd_path(folder), name)));
  for (auto& [key, value] : all) {
    if (!key.starts_with("trusted.overlay.") && !key.starts_with("user.overlay.")) entry.xattrs[key] = std::move(value);
  }
  return ok();
}

Status Differ::put(TarEntry& entry, bool& kept) {
  kept = !options_.edit || options_.edit(entry);
  if (!kept) return ok();
  ++report_.entries;
  return writer_.begin(entry);
}

Status Differ::write_entry(int fd, const std::string& name, const std::string& path, const struct stat& info) {
  TarEntry entry;
  entry.name = path;
  KILN_RETURN_IF_ERROR(fill(entry, fd, name, info));
  host::Fd file;
  if (entry.type == EntryType::kFile) {
    auto opened = host::open_at(fd, name, O_RDONLY | O_NOFOLLOW);
    if (!opened.ok()) return annotate(opened.status(), fmt::format("read '{}'", path));
    file = *std::move(opened);
  }
  KILN_RETURN_IF_ERROR(read_xattrs(entry, file.valid() ? file.get() : -1, fd, name));
  Inode inode{info.st_dev, info.st_ino};
  bool linked = info.st_nlink > 1 && entry.type != EntryType::kDirectory;
  if (linked) {
    if (auto it = linked_.find(inode); it != linked_.end()) return link_to(it->second, path, entry);
  }
  bool kept = true;
  KILN_RETURN_IF_ERROR(put(entry, kept));
  if (!kept) return ok();
  if (linked) linked_[inode] = entry.name;
  if (entry.type == EntryType::kFile) KILN_RETURN_IF_ERROR(write_body(file.get(), entry));
  if (!linked) return ok();
  auto extra = unchanged_.extract(inode);
  if (extra.empty()) return ok();
  for (const auto& other : extra.mapped()) KILN_RETURN_IF_ERROR(link_to(entry.name, other, entry));
  return ok();
}

Status Differ::link_to(const std::string& target, const std::string& path, const TarEntry& like) {
  TarEntry link = like;
  link.name = path;
  link.type = EntryType::kHardLink;
  link.link = target;
  link.size = 0;
  bool kept = true;
  return put(link, kept);
}

Status Differ::write_body(int fd, const TarEntry& entry) {
  std::uint64_t left = entry.size;
  while (left > 0) {
    if (stop_.stop_requested()) return cancelled();
    std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer_.size()));
    KILN_ASSIGN_OR_RETURN(std::size_t n, host::read_some(fd, {buffer_.data(), want}));
    if (n == 0) {
      return environment_error(Code::kFailedPrecondition, fmt::format("'{}' shrank while it was read", entry.name));
    }
    KILN_RETURN_IF_ERROR(writer_.write({buffer_.data(), n}));
    left -= n;
  }
  report_.bytes += entry.size;
  return ok();
}

}  // namespace

Result<DiffReport> write_tree(const std::string& root, TarWriter& writer, const DiffOptions& options,
                              std::stop_token stop) {
  return Differ(writer, options, stop, false).run(root, {}, Mode::kAll);
}

Result<DiffReport> write_overlay_upper(const std::string& upper, const std::vector<std::string>& lowers,
                                       TarWriter& writer, const DiffOptions& options, std::stop_token stop) {
  KILN_ASSIGN_OR_RETURN(LowerFolder lower, LowerFolder::open(lowers));
  return Differ(writer, options, stop, !lowers.empty()).run(upper, std::move(lower), Mode::kOverlay);
}

Result<DiffReport> write_difference(const std::string& lower, const std::string& upper, TarWriter& writer,
                                    const DiffOptions& options, std::stop_token stop) {
  std::vector<std::string> roots;
  if (!lower.empty()) roots.push_back(lower);
  KILN_ASSIGN_OR_RETURN(LowerFolder below, LowerFolder::open(roots));
  return Differ(writer, options, stop, false).run(upper, std::move(below), Mode::kWalk);
}

}  // namespace kiln::layer
